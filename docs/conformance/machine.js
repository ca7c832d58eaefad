// The machine of docs/machine.md, a second time: written from that page and the JSON of a plan alone. It shares
// nothing with the Python one, runs in node and in browsers, and passes all of vectors.json.
"use strict";

const ADAPT_TO = 5; // how many of a step's first values a dynamic threshold goes by

class InvalidTransition extends Error {}

// Reading a plan

/** Lays an RFC 7386 merge patch over a tree. */
function patched(tree, patch) {
  if (patch === null || typeof patch !== "object" || Array.isArray(patch)) return patch;
  const result = tree !== null && typeof tree === "object" && !Array.isArray(tree) ? { ...tree } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = patched(result[key], value);
  }
  return result;
}

/** The units of a stack of `blocks` blocks: begin, end and kind of each. */
function unitsOf(layout, blocks) {
  if (layout.units) return layout.units.map(([start, stop, kind]) => ({ start, stop, kind }));
  if (layout.front === "all") return [];
  const end = blocks - (layout.back ?? 0);
  const units = [];
  if (layout.middle === "whole") units.push({ start: layout.front, stop: end, kind: "middle" });
  for (let at = layout.front; layout.middle === "each" && at < end; at += 1) {
    if (!(layout.keep ?? []).includes(at)) units.push({ start: at, stop: at + 1, kind: "pruned" });
  }
  for (const at of layout.decides ?? []) units.push({ start: end + at, stop: end + at + 1, kind: "back" });
  return units;
}

/** Reads a plan's JSON (format `cachedsl.plan`, version 2), parsed: its stacks with rules, units and mask written out. */
function readPlan(tree) {
  if (tree.format !== "cachedsl.plan" || tree.version !== 2) {
    throw new Error(`expected a plan of version 2, got ${tree.format} ${tree.version}`);
  }
  const whole = (list) => list.map((each, index) => (index ? patched(list[0], each) : each));
  const [rules, layouts] = [whole(tree.rules), whole(tree.layouts)];
  const stacks = tree.stacks.map((stack) => ({
    name: stack.shape.name,
    transformer: stack.shape.transformer,
    blocks: stack.shape.blocks,
    rules: rules[stack.rules],
    units: unitsOf(layouts[stack.layout], stack.shape.blocks),
    mask: stack.mask === null ? null : tree.masks[stack.mask],
  }));
  return { policy: tree.policy, model: tree.model, steps: tree.num_inference_steps, cfg: tree.cfg, stacks };
}

// The machine

function initial(stack) {
  return {
    phase: "ended", num_steps: null, step_index: 0, run_index: -1, verdict: "compute", reason: "",
    reused_total: 0, reused_run: 0, accumulated: 0, drift: 0, anchors: stack.units.map(() => 0), since_refresh: 0,
    unit: null, unit_verdict: null, reused_units: [], computed_units: [], measured: [], absent: [],
  };
}

const noAnchors = (stack) => stack.units.map(() => 0);
const isBack = (stack, unit) => stack.units[unit].kind === "back";
const hasReused = (stack, state) => state.reused_units.some((unit) => !isBack(stack, unit));
const reached = (limit, count) => limit !== undefined && limit !== null && count >= limit;
/** What is measured for the units that are no back blocks; a stack without units measures nothing. */
const signalOf = (stack) => (stack.units.length ? stack.rules.signal : undefined);

function refreshFallsOn(rules, own) {
  if (rules.refresh === undefined || own === 0) return false;
  return rules.refresh_repeat ? own % rules.refresh === 0 : own === rules.refresh;
}

function inWarmup(stack, since) {
  const leading = stack.mask === null ? Infinity : stack.mask.match(/^1*/)[0].length;
  return since < Math.min(stack.rules.warmup, leading) && since % stack.rules.warmup_interval === 0;
}

function lacksHistory(stack, state) {
  const needed = signalOf(stack)?.anchors ?? 1;
  const expected = state.anchors.filter((_, unit) => !state.absent.includes(unit));
  return expected.some((count) => count < needed) || (state.anchors.length > 0 && expected.length === 0);
}

/** Guards 1 to 13: the verdict and the reason of a step. */
function stepGuard(stack, state, at, refreshed, leader) {
  const { rules, mask } = stack;
  const bit = mask === null ? null : (mask[at] ?? "1"); // past its end a mask computes
  const announced = state.num_steps;
  if (rules.threshold === 0) return ["compute", "exact"];
  if (refreshed) return ["compute", "refresh"];
  if (lacksHistory(stack, state)) return ["compute", "no_history"];
  if (inWarmup(stack, state.since_refresh)) return ["compute", "warmup"];
  if (reached(announced, at)) return ["compute", "past_end"];
  if (rules.tail > 0 && announced !== null && at >= announced - rules.tail) return ["compute", "tail"];
  if (bit === "1") return ["compute", "scheduled"];
  if (reached(rules.max_total, state.reused_total)) return ["compute", "max_total"];
  if (reached(rules.max_continuous, state.reused_run)) return ["compute", "max_continuous"];
  if (reached(rules.max_accumulated, state.accumulated)) return ["compute", "max_accumulated"];
  if (rules.otherwise === "static") return ["reuse", "scheduled"];
  if (rules.threshold === "always") return ["reuse", "static"];
  if (leader !== null) return [leader, "followed"];
  return ["open", ""];
}

/** Guards 14 to 18: the verdict and the reason of a unit, or null where it is measured. */
function unitGuard(stack, state, unit, shapeChanged) {
  if (shapeChanged && state.verdict !== "compute") return ["compute", "shape_changed"];
  if (state.verdict === "compute") return ["compute", state.reason];
  if (isBack(stack, unit) && !hasReused(stack, state)) return ["compute", "computed"];
  if (state.anchors[unit] === 0) return ["compute", "no_history"];
  if (state.verdict === "reuse" && !isBack(stack, unit)) return ["reuse", state.reason];
  return null;
}

/** What a unit that is no back block is held against, given what was measured before it in the same step. */
function thresholdOf(rules, measured) {
  const relax = rules.prune?.relax;
  const positive = measured.filter((value) => value > 0);
  if (relax === undefined || positive.length === 0) return rules.threshold;
  const relaxed = (relax * positive.reduce((sum, value) => sum + value, 0)) / positive.length;
  const bound = rules.prune.max ?? 2 * rules.threshold;
  return rules.threshold < relaxed && relaxed < bound ? relaxed : rules.threshold;
}

function startStep(stack, state, { index, leader = null }) {
  if (index <= state.run_index) throw new InvalidTransition(`step ${index} came after step ${state.run_index}`);
  const actions = [];
  let step = { ...state, phase: "stepping", run_index: index, reused_units: [], computed_units: [], measured: [] };
  const refreshed = refreshFallsOn(stack.rules, step.step_index);
  if (refreshed) {
    actions.push(["drop"]);
    step = { ...step, anchors: noAnchors(stack), reused_total: 0, reused_run: 0, accumulated: 0, drift: 0 };
    step.since_refresh = 0;
  }
  const signal = signalOf(stack);
  if (signal?.observes) actions.push(["observe", signal.tap]);
  const [verdict, reason] = stepGuard(stack, step, index, refreshed, leader);
  return [{ ...step, verdict, reason }, actions];
}

function reachUnit(stack, state, { unit, shape_changed = false }) {
  if (!(unit in stack.units)) throw new InvalidTransition(`there is no unit ${unit}`);
  if (state.unit !== null || [...state.reused_units, ...state.computed_units].includes(unit)) {
    throw new InvalidTransition(`unit ${unit} was reached twice, or inside another`);
  }
  const decided = unitGuard(stack, state, unit, shape_changed);
  const actions = shape_changed ? [["drop"]] : [];
  const dropped = shape_changed ? { anchors: noAnchors(stack), accumulated: 0, drift: 0 } : {};
  const step = { ...state, ...dropped, unit };
  if (decided === null) return [{ ...step, phase: "measuring" }, [["measure", unit]]];
  return [{ ...step, unit_verdict: decided[0] }, [...actions, [decided[0], unit, decided[1]]]];
}

/** Guards 19 to 23. */
function measureUnit(stack, state, { unit, value }) {
  if (unit !== state.unit) throw new InvalidTransition(`unit ${unit} was measured, not ${state.unit}`);
  const step = { ...state, phase: "stepping" };
  const decide = (verdict, reason) => [{ ...step, unit_verdict: verdict }, [[verdict, unit, reason]]];
  if (!Number.isFinite(value)) return decide("compute", "not_finite");
  const { rules } = stack;
  if (isBack(stack, unit)) {
    return value < rules.back_threshold ? decide("reuse", "back_below") : decide("compute", "back_above");
  }
  const sums = (signalOf(stack)?.accumulate ?? "none") !== "none";
  const compared = sums ? state.drift + value : value;
  const below = compared < thresholdOf(rules, state.measured);
  step.accumulated += value;
  step.drift = compared;
  if (rules.prune?.relax !== undefined) step.measured = [...state.measured, value].slice(0, ADAPT_TO);
  return below ? decide("reuse", "below") : decide("compute", "above");
}

function finishUnit(stack, state, { unit }) {
  if (unit !== state.unit || state.unit_verdict === null) {
    throw new InvalidTransition(`unit ${unit} is done, but ${state.unit} is in progress`);
  }
  const step = { ...state, unit: null, unit_verdict: null };
  if (state.unit_verdict === "reuse") return [{ ...step, reused_units: [...step.reused_units, unit] }, []];
  step.computed_units = [...step.computed_units, unit];
  const every = stack.rules.prune?.update_interval ?? 1;
  if (step.anchors[unit] > 0 && step.step_index % every !== 0) return [step, []];
  step.anchors = step.anchors.map((count, index) => count + (index === unit ? 1 : 0));
  return [step, [["store", unit]]];
}

function endStep(stack, state) {
  if (state.unit !== null) throw new InvalidTransition(`the step ended inside unit ${state.unit}`);
  const reused = hasReused(stack, state);
  const seen = [...state.reused_units, ...state.computed_units];
  const lifelong = signalOf(stack)?.accumulate === "lifetime";
  const ended = {
    ...state,
    phase: "idle",
    step_index: state.step_index + 1,
    since_refresh: state.since_refresh + 1,
    reused_total: state.reused_total + (reused ? 1 : 0),
    reused_run: reused ? state.reused_run + 1 : 0,
    accumulated: !reused && stack.rules.reset === "on_compute" ? 0 : state.accumulated,
    drift: reused || lifelong ? state.drift : 0,
    absent: stack.units.map((_, unit) => unit).filter((unit) => !seen.includes(unit)),
  };
  return [ended, []];
}

const HANDLERS = {
  "ended run_started": (stack, _, event) => [{ ...initial(stack), phase: "idle", num_steps: event.num_steps }, []],
  "idle run_ended": (stack) => [initial(stack), [["drop"]]],
  "idle step_started": startStep,
  "stepping unit_reached": reachUnit,
  "measuring unit_measured": measureUnit,
  "stepping unit_done": finishUnit,
  "stepping step_ended": endStep,
};

/**
 * Takes one event, `{type, ...}`, of one stack and branch.
 * Returns the next state and the actions: ["drop"], ["observe", tap], ["measure", unit], ["compute", unit, reason],
 * ["reuse", unit, reason], ["store", unit]. Throws InvalidTransition; the state is never changed in place.
 */
function transition(stack, state, event) {
  if (event.type === "failed") return [initial(stack), [["drop"]]];
  const handler = HANDLERS[`${state.phase} ${event.type}`];
  if (handler === undefined) throw new InvalidTransition(`${event.type} came while ${state.phase}`);
  return handler(stack, state, event);
}

// Driving it

/** One stack and branch of a run, step by step, as an engine drives it. */
class Machine {
  constructor(stack, numSteps) {
    this.stack = stack;
    this.state = initial(stack);
    this.feed({ type: "run_started", num_steps: numSteps });
  }

  feed(event) {
    const [state, actions] = transition(this.stack, this.state, event);
    this.state = state;
    return actions;
  }

  /**
   * Takes one step. `units` says of each unit that the model's loop reaches, in order, what would be measured and
   * whether a stream's shape changed; `leader` is what became of the step's first branch, where branches follow.
   * Returns the step's verdict (reuse where a unit was reused that is no back block) and what became of each unit.
   */
  step(index, units, leader = null) {
    this.feed({ type: "step_started", index, leader });
    const outcomes = units.map(({ unit, value, shape_changed }) => {
      let actions = this.feed({ type: "unit_reached", unit, shape_changed });
      const measured = actions.some(([action]) => action === "measure");
      if (measured) actions = this.feed({ type: "unit_measured", unit, value });
      const [verdict, , reason] = actions.find(([action]) => action === "compute" || action === "reuse");
      this.feed({ type: "unit_done", unit });
      return { unit, verdict, reason, measured };
    });
    this.feed({ type: "step_ended" });
    const reused = outcomes.some((each) => each.verdict === "reuse" && !isBack(this.stack, each.unit));
    return { verdict: reused ? "reuse" : "compute", units: outcomes };
  }
}

const api = { InvalidTransition, Machine, initial, readPlan, transition };
if (typeof module !== "undefined") module.exports = api;
else globalThis.cachedsl = api;
