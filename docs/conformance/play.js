// The page play.html: draws what machine.js decides, for values that its reader sets.
"use strict";
const WORDS = {
  exact: "the threshold is 0: every step is computed",
  refresh: "a refresh falls on this step: what was kept is dropped",
  no_history: "nothing was computed yet that could be reused",
  warmup: "the first steps of a run are computed",
  past_end: "the run is past its announced end",
  tail: "the last steps of a run are computed",
  scheduled: "the policy's mask says so",
  max_total: "as many steps were reused as the policy allows in a run",
  max_continuous: "as many steps in a row were reused as the policy allows",
  max_accumulated: "the measured values add up to the policy's limit",
  static: "the policy reuses whenever nothing forbids it, and measures nothing",
  followed: "it follows the step's first branch",
  shape_changed: "a tensor's shape changed",
  computed: "no other block was reused in this step",
  not_finite: "what was measured is not a finite number",
  back_below: "what the back block takes in moved by less than its threshold",
  back_above: "what the back block takes in moved by at least its threshold",
  below: "what was measured is below the threshold",
  above: "what was measured is not below the threshold",
};
const at = (id) => document.getElementById(id);
const engine = globalThis.cachedsl;
const plans = globalThis.CACHEDSL_PLANS;
const changed = new Map(); // values that the reader set, by stack and step
let chosen = null;

/** A number from 0 to 1, the same for the same stack and step: values differ, and stay what they were. */
function wobble(stack, step) {
  const x = Math.sin(12.9898 * (step + 1) + 78.233 * (stack + 1)) * 43758.5453;
  return x - Math.floor(x);
}

/** The largest value on a track: three times what decides, or 1 where nothing is measured. */
function scaleOf(rules) {
  const limit = Number(rules.threshold) || rules.back_threshold || 1 / 3;
  return 3 * limit;
}

function valueOf(stack, index, step) {
  const key = `${index} ${step}`;
  if (changed.has(key)) return changed.get(key);
  const level = Number(at("level").value) * scaleOf(stack.rules);
  return level * (1 + Number(at("spread").value) * (2 * wobble(index, step) - 1));
}

/** Runs every stack over all steps; one branch, which is what each branch does whose values are the same. */
function runPlan(plan) {
  return plan.stacks.map((stack, index) => {
    const machine = new engine.Machine(stack, plan.steps);
    return Array.from({ length: plan.steps }, (_, step) => {
      const before = machine.state;
      const units = stack.units.map((_unit, unit) => ({ unit, value: valueOf(stack, index, step) }));
      return { ...machine.step(step, units), drift: before.drift, total: before.reused_total };
    });
  });
}

function share(stack, step) {
  const skipped = step.units.filter((unit) => unit.verdict === "reuse");
  const blocks = skipped.reduce((sum, { unit }) => sum + stack.units[unit].stop - stack.units[unit].start, 0);
  return { blocks, of: stack.blocks, partly: skipped.length > 0 && skipped.length < step.units.length };
}

/** The reason that tells: of the first unit that was reused, else of the first. */
function reasonOf(step) {
  const telling = step.units.filter((unit) => unit.verdict === step.verdict);
  return (telling[0] ?? step.units[0])?.reason ?? "";
}

function describe(stack, index, step, outcome) {
  const { blocks, of } = share(stack, outcome);
  const reason = reasonOf(outcome);
  const measured = outcome.units.some((unit) => unit.measured);
  const value = valueOf(stack, index, step);
  const sums = stack.rules.signal && stack.rules.signal.accumulate !== "none";
  const held = sums ? `, ${(outcome.drift + value).toFixed(3)} with the steps before` : "";
  const limit = stack.rules.threshold === "always" ? "" : `, threshold ${stack.rules.threshold}`;
  const text = `Step ${step} of ${stack.name}: ${outcome.verdict === "reuse" ? "reused" : "computed"}`;
  const counts = blocks ? `${blocks} of ${of} blocks are skipped` : `all ${of} blocks run`;
  return `${text} (${reason || "no unit"}): ${WORDS[reason] ?? "this stack runs in full"}; ${counts}` +
    (measured ? `; measured ${value.toFixed(3)}${held}${limit}.` : "; nothing was measured.");
}

function stepElement(stack, index, step, outcome) {
  const column = document.createElement("div");
  column.className = "step";
  const cell = document.createElement("button");
  const { partly } = share(stack, outcome);
  cell.type = "button";
  cell.className = `cell ${partly ? "partly" : outcome.verdict === "reuse" ? "reused" : "computed"}`;
  cell.textContent = String(step);
  cell.dataset.step = `${index} ${step}`;
  cell.dataset.verdict = outcome.verdict;
  cell.dataset.reason = reasonOf(outcome);
  cell.dataset.exactly = String(valueOf(stack, index, step)); // a slider rounds
  cell.title = describe(stack, index, step, outcome);
  cell.setAttribute("aria-label", cell.title);
  cell.setAttribute("aria-pressed", String(chosen === cell.dataset.step));
  const show = () => { at("detail").textContent = cell.title; };
  cell.addEventListener("focus", show);
  cell.addEventListener("mouseenter", show);
  cell.addEventListener("click", () => { chosen = cell.dataset.step; draw(); });
  const track = document.createElement("div");
  const measured = outcome.units.some((unit) => unit.measured);
  track.className = measured ? "track" : "track unused";
  const scale = scaleOf(stack.rules);
  const slider = document.createElement("input");
  Object.assign(slider, { type: "range", min: 0, max: scale, step: scale / 300, value: valueOf(stack, index, step) });
  slider.dataset.value = cell.dataset.step;
  slider.setAttribute("aria-label", `What is measured at step ${step} of ${stack.name}`);
  slider.addEventListener("input", () => {
    changed.set(cell.dataset.step, Number(slider.value));
    chosen = cell.dataset.step;
    draw(slider.dataset.value);
  });
  track.append(slider);
  if (typeof stack.rules.threshold === "number" && stack.rules.threshold > 0) {
    const limit = document.createElement("div");
    limit.className = "limit";
    limit.style.bottom = `${(100 * stack.rules.threshold) / scale}%`;
    track.append(limit);
  }
  column.append(cell, track);
  return column;
}

/** Draws everything anew; a slider that is being dragged stays the element that it is. */
function draw(dragged = null) {
  const plan = engine.readPlan(plans[at("policy").value][at("model").value]);
  const outcomes = runPlan(plan);
  const held = dragged === null ? null : document.querySelector(`input[data-value="${dragged}"]`);
  const sections = plan.stacks.map((stack, index) => {
    const section = document.createElement("section");
    const title = document.createElement("h2");
    const reused = outcomes[index].filter((step) => step.verdict === "reuse").length;
    title.textContent = `${stack.name}: ${reused} of ${plan.steps} steps reused`;
    const scroll = document.createElement("div");
    scroll.className = "scroll";
    const steps = document.createElement("div");
    steps.className = "steps";
    steps.append(...outcomes[index].map((step, number) => stepElement(stack, index, number, step)));
    scroll.append(steps);
    section.append(title, scroll);
    return section;
  });
  const scrolled = [...document.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
  at("stacks").replaceChildren(...sections);
  document.querySelectorAll(".scroll").forEach((each, index) => { each.scrollLeft = scrolled[index] ?? 0; });
  if (held) {
    document.querySelector(`input[data-value="${dragged}"]`).replaceWith(held);
    held.focus();
  } else if (chosen !== null) document.querySelector(`button[data-step="${chosen}"]`)?.focus({ preventScroll: true });
  const [index, step] = (chosen ?? "").split(" ").map(Number);
  const shown = chosen === null ? undefined : outcomes[index]?.[step];
  if (shown) at("detail").textContent = describe(plan.stacks[index], index, step, shown);
  const total = plan.stacks.reduce((sum, stack) => sum + stack.blocks * plan.steps, 0);
  const skipped = plan.stacks.reduce(
    (sum, stack, number) => sum + outcomes[number].reduce((own, each) => own + share(stack, each).blocks, 0), 0);
  at("summary").textContent = `${total - skipped} of ${total} blocks run in ${plan.steps} steps, ` +
    `${((100 * (total - skipped)) / total).toFixed(1)} %.`;
}

function fill(select, names) {
  const before = select.value;
  select.replaceChildren(...names.map((name) => new Option(name, name)));
  if (names.includes(before)) select.value = before;
}

function start() {
  fill(at("policy"), Object.keys(plans));
  const wanted = new URLSearchParams(location.search);
  if (wanted.has("policy") && wanted.get("policy") in plans) at("policy").value = wanted.get("policy");
  fill(at("model"), Object.keys(plans[at("policy").value]));
  if (wanted.get("model") in plans[at("policy").value]) at("model").value = wanted.get("model");
  at("policy").addEventListener("change", () => {
    fill(at("model"), Object.keys(plans[at("policy").value]));
    changed.clear();
    chosen = null;
    draw();
  });
  at("model").addEventListener("change", () => { changed.clear(); chosen = null; draw(); });
  for (const id of ["level", "spread"]) at(id).addEventListener("input", () => draw());
  at("reset").addEventListener("click", () => { changed.clear(); draw(); });
  draw();
}

start();
