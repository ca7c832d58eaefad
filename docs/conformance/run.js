// Plays every vector against machine.js and says where it answers otherwise: node run.js [vectors.json]
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const { InvalidTransition, Machine, initial, readPlan, transition } = require("./machine.js");

const file = process.argv[2] ?? path.join(__dirname, "vectors.json");
const vectors = JSON.parse(fs.readFileSync(file, "utf8"));
if (vectors.format !== "cachedsl.vectors" || vectors.version !== 1) throw new Error("expected vectors of version 1");
const NUMBERS = { nan: NaN, inf: Infinity, "-inf": -Infinity };
const number = (value) => (typeof value === "string" ? NUMBERS[value] : value);
const plans = vectors.plans.map(({ plan }) => readPlan(plan));
let answers = 0;
const wrong = [];

function compare(place, found, expected) {
  answers += 1;
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  if (a !== b) wrong.push(`${place}: expected ${b}, got ${a}`);
}

vectors.plans.forEach(({ units }, at) => {
  const read = plans[at].stacks.map((stack) => stack.units.map(({ start, stop, kind }) => [start, stop, kind]));
  compare(`plan ${at}, units`, read, units);
});

vectors.vectors.forEach((vector, at) => {
  const plan = plans[vector.plan];
  const follows = plan.cfg.decision === "follow_first";
  const machines = new Map();
  const leaders = new Map();
  for (const call of vector.calls) {
    plan.stacks.forEach((stack, place) => {
      const key = `${place} ${call.branch}`;
      if (!machines.has(key)) machines.set(key, new Machine(stack, vector.num_inference_steps));
      const units = call.stacks[place].map((unit) => ({ ...unit, value: number(unit.value) }));
      const turn = `${place} ${call.step}`;
      const outcome = machines.get(key).step(call.step, units, (follows && leaders.get(turn)) || null);
      if (!leaders.has(turn)) leaders.set(turn, outcome.verdict);
      const found = { verdict: outcome.verdict, units: outcome.units.map((unit) => [unit.verdict, unit.reason]) };
      compare(`vector ${at}, step ${call.step}, ${call.branch}, stack ${place}`, found, call.expect[place]);
      outcome.units.forEach((unit, index) => {
        if (unit.measured !== "value" in call.stacks[place][index]) wrong.push(`vector ${at}: measured ${unit.unit}`);
      });
    });
  }
});

vectors.sequences.forEach((sequence, at) => {
  const stack = readPlan(sequence.plan).stacks[sequence.stack];
  let state = initial(stack);
  sequence.events.forEach(([event, expected], index) => {
    let actions = null;
    try {
      [state, actions] = transition(stack, state, { ...event, value: number(event.value) });
    } catch (error) {
      if (!(error instanceof InvalidTransition)) throw error;
    }
    compare(`sequence ${at}, event ${index} ${event.type}`, actions, expected);
  });
});

for (const line of wrong.slice(0, 20)) console.error(line);
console.log(`${answers} answers, ${wrong.length} wrong`);
process.exitCode = wrong.length || !answers ? 1 : 0; // nothing compared is nothing shown
