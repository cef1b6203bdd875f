"use strict";

const at = (id) => document.getElementById(id);
const percent = (value) => `${(100 * value).toFixed(1)} %`;
const short = (value) => Number(value.toPrecision(3)).toString();
const MOST_CLASSES = 10;
const LEVELS = 255; // of a pixel; the slider goes by halves of one

let facts = null;
let file = null;
let attacking = false;
let wanted = null; // the eps of the next attack
let shownAddress = null;

// Proxies answer for the service too, and not in JSON.
async function ask(address, request) {
  const response = await fetch(address, request).catch(() => {
    throw new Error("The service does not answer. See that it runs, then try again.");
  });
  const answer = await response.json().catch(() => null);
  if (response.ok && answer !== null) return answer;
  const meaning = response.status === 413 ? "the file is too large" : response.statusText;
  throw new Error(answer?.error ?? `No answer from the service, but status ${response.status}: ${meaning}.`);
}

const send = (address, body) => ask(address, { method: "POST", body });

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

// An answer is shown while its file is the chosen one: it may come after that of a later file.
async function look(chosen) {
  file = chosen;
  wanted = null;
  at("answer").hidden = at("attack").hidden = at("views").hidden = true;
  say("status", `Asking about ${chosen.name} …`);
  try {
    const answer = await send("page/predict", chosen);
    if (file !== chosen) return;
    if (shownAddress) URL.revokeObjectURL(shownAddress);
    shownAddress = URL.createObjectURL(chosen);
    at("shown").src = shownAddress;
    show(answer);
    say("status", "");
    say("attack-status", "Move the slider to attack.");
  } catch (error) {
    if (file !== chosen) return;
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
  at(id).closest("figure").hidden = source === undefined;
  if (source === undefined) return;
  at(`${id}-caption`).textContent = caption;
  Object.assign(at(id), { src: source, alt });
}

function outcome(answer) {
  if (!answer.found) return "No adversarial example found";
  if (facts.threshold === null) return "Label changed";
  return answer.after.accepted ? "Wrong and accepted" : "Label changed, but rejected,";
}

function showAttack(answer) {
  at("views").hidden = false;
  const before = named(answer.before);
  const after = answer.found ? named(answer.after) : "";
  view("clean", answer.clean, `clean: ${before}`, `The image as the model sees it: ${before}`);
  view("adversarial", answer.adversarial, `adversarial: ${after}`,
       `The adversarial example, which looks much like the image: ${after}`);
  view("difference", answer.difference, `difference times ${answer.times}`,
       `What was changed, times ${answer.times}, about gray; at most ${short(answer.largest_change ?? 0)}`);
  const what = answer.found ? `: ${before}, became ${after}` : "";
  say("attack-status", `${outcome(answer)} at eps ${short(answer.eps)}${what}.`);
}

// One attack at a time; where the slider has moved on meanwhile, its last place is next.
async function attack() {
  wanted = radius();
  if (attacking) return;
  attacking = true;
  while (wanted !== null && file !== null) {
    const [eps, attacked] = [wanted, file];
    wanted = null;
    say("attack-status", `Attacking at eps ${short(eps)} …`);
    try {
      const answer = await send(`page/attack?eps=${eps}`, attacked);
      if (attacked === file) showAttack(answer);
    } catch (error) {
      if (attacked !== file) continue;
      at("views").hidden = true;
      say("attack-status", error.message, true);
    }
  }
  attacking = false;
}

function radius() {
  const [low, high] = facts.box;
  return ((high - low) * at("eps").value) / (2 * LEVELS);
}

function showRadius() {
  const eps = short(radius());
  at("eps-value").textContent = eps;
  at("eps").setAttribute("aria-valuetext", eps);
  at("eps-units").textContent = `in units of the image, which lies in [${facts.box.join(", ")}]: ` +
    `${at("eps").value / 2} of ${LEVELS} levels`;
}

function choose(files) {
  if (files.length > 0) look(files[0]);
}

async function begin() {
  facts = await ask("page/facts.json");
  say("name", facts.name);
  const shape = facts.image_shape.join(" x ");
  at("about").textContent = `${facts.class_names.length} classes, images of ${shape} in [${facts.box.join(", ")}].`;
  document.querySelectorAll(".to-center").forEach((cell) => {
    cell.hidden = facts.statistic !== "distance";
  });
  at("uncalibrated").hidden = facts.threshold !== null;
  at("blind").hidden = facts.threshold === null;
  document.querySelector(".model").textContent = `/v1/models/${facts.name}`;
  document.querySelector(".v2").textContent = `/v2/models/${facts.name}`;
  if (!facts.takes_files) {
    at("form").hidden = true;
    say("status", "This model takes no image files; ask it by the addresses below.");
    return;
  }
  showRadius();
  at("eps").addEventListener("input", showRadius);
  at("eps").addEventListener("change", attack);
  at("file").addEventListener("change", () => choose(at("file").files));
  for (const name of ["dragover", "drop"]) { // beside the box: the browser would open the file
    document.addEventListener(name, (event) => event.preventDefault());
  }
  for (const name of ["dragover", "dragleave", "drop"]) {
    at("drop").addEventListener(name, (event) => {
      event.preventDefault();
      at("drop").classList.toggle("over", name === "dragover");
      if (name === "drop") choose(event.dataTransfer.files);
    });
  }
}

begin().catch((error) => say("status", error.message, true));
