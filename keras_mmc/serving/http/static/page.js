"use strict";

const at = (id) => document.getElementById(id);
const percent = (value) => `${(100 * value).toFixed(1)} %`;
const short = (value) => Number(value.toPrecision(3)).toString();
const MOST_CLASSES = 10;
const STEPS = 100; // of the slider

let facts = null;
let file = null;
let attacking = false;
let wanted = null; // the eps of the next attack
let shownAddress = null;

async function ask(address, body) {
  const response = await fetch(address, { method: "POST", body });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function say(id, text, isError = false) {
  at(id).textContent = text;
  at(id).classList.toggle("error", isError);
}

function row(found, likeliest) {
  const line = document.createElement("tr");
  const name = document.createElement("th");
  name.scope = "row";
  name.textContent = found.name;
  const probability = document.createElement("td");
  const meter = document.createElement("meter");
  meter.value = found.probability;
  meter.setAttribute("aria-hidden", "true");
  probability.append(meter, percent(found.probability));
  line.append(name, probability);
  if (found.distance !== undefined) {
    const distance = document.createElement("td");
    distance.textContent = found.distance.toFixed(2);
    line.append(distance);
  }
  line.classList.toggle("likeliest", likeliest);
  return line;
}

function verdict(answer) {
  const isDistance = facts.statistic === "distance";
  const what = isDistance ? "distance to the center" : "one minus the probability";
  if (facts.threshold === null) return answer.accepted ? "" : `not accepted: ${answer.reason}`;
  const limit = `${what} ${short(answer.statistic)}, at most ${short(facts.threshold)} is accepted`;
  return answer.accepted ? `accepted (${limit})` : `rejected (${limit})`;
}

function show(answer) {
  at("answer").hidden = false;
  at("attack").hidden = answer.classes.length === 0;
  const best = answer.classes[0];
  say("label", best ? best.name : "no answer");
  say("confidence", best ? percent(best.probability) : "");
  say("verdict", best ? verdict(answer) : answer.reason);
  at("verdict").className = answer.accepted ? "accepted" : "rejected";
  const rows = answer.classes.slice(0, MOST_CLASSES);
  at("classes").replaceChildren(...rows.map((found, i) => row(found, i === 0)));
  const more = answer.classes.length > rows.length;
  at("classes-caption").textContent = more
    ? `the ${rows.length} likeliest of ${answer.classes.length} classes` : "all classes";
  at("shown").alt = best
    ? `The chosen image, predicted as ${best.name} with ${percent(best.probability)}`
    : "The chosen image, for which the model has no answer";
}

async function look(chosen) {
  file = chosen;
  wanted = null;
  at("views").hidden = true;
  say("attack-status", "");
  say("status", `Asking about ${chosen.name} …`);
  if (shownAddress) URL.revokeObjectURL(shownAddress);
  shownAddress = URL.createObjectURL(chosen);
  at("shown").src = shownAddress;
  try {
    show(await ask("page/predict", chosen));
    say("status", "");
    say("attack-status", "Move the slider to attack.");
  } catch (error) {
    at("answer").hidden = at("attack").hidden = true;
    say("status", error.message, true);
    file = null;
  }
}

function named(answer) {
  const best = answer.classes[0];
  if (!best) return `no answer: ${answer.reason}`;
  const judged = facts.threshold === null ? "" : answer.accepted ? ", accepted" : ", rejected";
  return `${best.name}, ${percent(best.probability)}${judged}`;
}

function view(id, source, caption, alt) {
  at(id).hidden = source === undefined;
  at(`${id}-caption`).textContent = source === undefined ? "" : caption;
  if (source !== undefined) at(id).src = source;
  at(id).alt = alt;
}

function showAttack(answer) {
  at("views").hidden = false;
  const before = named(answer.before);
  view("clean", answer.clean, `clean: ${before}`, `The image as the model sees it: ${before}`);
  if (!answer.found) {
    view("adversarial");
    view("difference");
    say("attack-status", `No adversarial example found at eps ${short(answer.eps)}.`);
    return;
  }
  const after = named(answer.after);
  view("adversarial", answer.adversarial, `adversarial: ${after}`,
       `The adversarial example, which looks much like the image: ${after}`);
  view("difference", answer.difference, `difference times ${answer.times}`,
       `What was changed, times ${answer.times}, about gray; at most ${short(answer.largest_change)}`);
  say("attack-status", `Fooled at eps ${short(answer.eps)}: ${before}, became ${after}.`);
}

// One attack at a time; where the slider has moved on meanwhile, its last place is next.
async function attack() {
  wanted = at("eps").value;
  if (attacking) return;
  attacking = true;
  while (wanted !== null && file !== null) {
    const [radius, attacked] = [wanted, file];
    wanted = null;
    say("attack-status", `Attacking at eps ${short(Number(radius))} …`);
    try {
      const answer = await ask(`page/attack?eps=${radius}`, attacked);
      if (attacked === file) showAttack(answer);
    } catch (error) {
      if (attacked === file) say("attack-status", error.message, true);
    }
  }
  attacking = false;
}

function eps() {
  const value = Number(at("eps").value);
  at("eps-value").textContent = short(value);
  const [low, high] = facts.box;
  const levels = short((255 * value) / (high - low));
  at("eps-units").textContent = `in units of the image, which lies in [${low}, ${high}]: ${levels} of 255 levels`;
}

function choose(files) {
  if (files.length > 0) look(files[0]);
}

async function begin() {
  facts = await (await fetch("page/facts.json")).json();
  say("name", facts.name);
  const shape = facts.image_shape.join(" x ");
  at("about").textContent = `${facts.class_names.length} classes, images of ${shape} in [${facts.box.join(", ")}].`;
  document.querySelectorAll(".to-center").forEach((cell) => {
    cell.hidden = facts.statistic !== "distance";
  });
  document.querySelector(".model").textContent = `/v1/models/${facts.name}`;
  document.querySelector(".v2").textContent = `/v2/models/${facts.name}`;
  if (!facts.takes_files) {
    at("form").hidden = true;
    say("status", "This model takes no image files; ask it by the addresses below.");
    return;
  }
  const width = facts.box[1] - facts.box[0];
  Object.assign(at("eps"), { min: width / STEPS / 2, max: width / 2, step: width / STEPS / 2 });
  at("eps").value = (width * 8) / 255;
  eps();
  at("eps").addEventListener("input", eps);
  at("eps").addEventListener("change", attack);
  at("file").addEventListener("change", () => choose(at("file").files));
  for (const name of ["dragover", "dragleave", "drop"]) {
    at("drop").addEventListener(name, (event) => {
      event.preventDefault();
      at("drop").classList.toggle("over", name === "dragover");
      if (name === "drop") choose(event.dataTransfer.files);
    });
  }
}

begin().catch((error) => say("status", `The page cannot reach the service: ${error.message}`, true));
