// Sends radiographs one after the other, and shows the predictions. Names of files stay here, and are shown as text.
const byId = (id) => document.getElementById(id);
const maxBytes = Number(byId("main").dataset.maxBytes);
const labelNames = JSON.parse(byId("main").dataset.labelNames);
const nameOf = (label) => labelNames[label] ?? label;
const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
const items = [];
let shown = null;
let isSending = false;

class Refusal extends Error {}

function add(files) {
  for (const file of files) {
    const item = { file, name: file.name || "pasted image", state: "waiting", sentence: "waiting" };
    item.ifInverted = byId("if-inverted").value;
    item.node = document.createElement("li");
    items.push(item);
    byId("list").append(item.node);
    draw(item);
  }
  byId("work").hidden = items.length === 0;
  send();
}

async function send() {
  if (isSending) return;
  isSending = true;
  let item;
  while ((item = items.find((each) => each.state === "waiting"))) {
    item.state = "sent";
    item.sentence = "computing …";
    draw(item);
    try {
      await predict(item);
      item.state = "done";
      item.sentence = summarize(item.result);
    } catch (error) {
      item.state = "refused";
      item.sentence = error instanceof Refusal ? error.message : "The server cannot be reached, or the file cannot be opened.";
    }
    if (!items.includes(item)) { forget(item); continue; }
    draw(item);
    if (item.state === "done" && shown === null) show(item);
  }
  isSending = false;
}

// Sends a radiograph, and fetches the images of the page, so that the server may forget them.
async function predict(item) {
  if (item.file.size > maxBytes) throw new Refusal(`The file is larger than ${Math.round(maxBytes / 2 ** 20)} MiB, the limit of the server.`);
  const parameters = new URLSearchParams({ if_inverted: item.ifInverted });
  if (item.name.toLowerCase().endsWith(".img")) parameters.set("format", "jsrt");
  const request = { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: item.file };
  const response = await ask(`/api/predictions?${parameters}`, request);
  item.result = await response.json();
  const files = item.result.files;
  item.images ??= { layers: {} };
  item.images.radiograph ??= await fetchImage(files["radiograph.png"]);
  for (const label of files["layer.png"] ? Object.keys(item.result.votes) : []) {
    item.images.layers[label] ??= await fetchImage(`${files["layer.png"]}?label=${encodeURIComponent(label)}`);
  }
}

async function ask(address, request) {
  for (;;) {
    const response = await fetch(address, request);
    if (response.ok) return response;
    if (response.status !== 503) throw Object.assign(new Refusal((await response.json()).error), { status: response.status });
    await wait(Number(response.headers.get("Retry-After") ?? 2));
  }
}

const fetchImage = async (address) => URL.createObjectURL(await (await ask(address)).blob());

function forget(item) {
  for (const address of [item.images?.radiograph, ...Object.values(item.images?.layers ?? {})]) if (address) URL.revokeObjectURL(address);
  if (item.result) fetch(`/api/predictions/${item.result.id}`, { method: "DELETE" }).catch(() => {});
}

const percent = (share) => `${Math.round(100 * share)} %`;
const total = (votes) => Object.values(votes).reduce((sum, count) => sum + count, 0);
const hasClasses = (result) => Object.keys(result.votes).length > 0;

// Of a model of several findings: the predicted ones, and all of them, the most probable first.
const hasFindings = (result) => result.num_patches !== undefined;
const byProbability = (result) => Object.keys(result.votes).sort((a, b) => result.probabilities[b] - result.probabilities[a]);
const predicted = (result) => byProbability(result).filter((label) => result.findings[label]);
const FOLDED = 6; // rows of findings that are shown at first

function summarize(result) {
  if (!result.has_lungs) return "no lungs found";
  if (!hasClasses(result)) return "lungs found";
  const unlike = result.ood_reason ? "; unlike the training radiographs" : "";
  if (hasFindings(result)) return (predicted(result).map(nameOf).join(", ") || "no finding") + unlike;
  const label = result.decision === "undecided" ? `undecided (${nameOf(result.label)})` : nameOf(result.label);
  return `${label}, ${percent(result.vote_fraction)} of votes${unlike}`;
}

function draw(item) {
  const node = document.createElement(item.state === "done" ? "button" : "div");
  if (item.state === "done") {
    node.type = "button";
    node.setAttribute("aria-current", String(item === shown));
    node.addEventListener("click", () => { show(item); byId("name").focus({ preventScroll: false }); });
  } else {
    node.className = item.state === "refused" ? "refused" : "waiting";
  }
  node.append(element("strong", item.name), element("span", item.sentence));
  const hadFocus = item.node.contains(document.activeElement);
  item.node.replaceChildren(node);
  if (hadFocus) node.focus();
  const done = items.filter((each) => each.state === "done").length;
  const refused = items.filter((each) => each.state === "refused").length;
  byId("status").textContent = `${done} of ${items.length} read${refused ? `, ${refused} not` : ""}`;
}

function element(tag, text, className = "") {
  const node = document.createElement(tag);
  node.textContent = text;
  node.className = className;
  return node;
}

function show(item) {
  const former = shown;
  shown = item;
  if (former) draw(former);
  draw(item);
  const result = item.result;
  byId("result").hidden = false;
  byId("name").textContent = item.name;
  byId("sentence").textContent = answer(result);
  byId("remarks").replaceChildren(...remarks(result));
  byId("stage").style.setProperty("--ratio", result.width / result.height);
  byId("radiograph").src = item.images.radiograph;
  byId("radiograph").alt = `Radiograph ${item.name}`;
  drawOutlines(result);
  const layers = Object.keys(item.images.layers);
  const labels = hasFindings(result) ? byProbability(result).filter((label) => layers.includes(label)) : layers;
  const first = hasFindings(result) ? labels[0] : result.label;
  byId("label").replaceChildren(...labels.map((label) => new Option(nameOf(label), label, false, label === first)));
  for (const node of document.querySelectorAll(".of-map")) node.hidden = labels.length === 0;
  byId("outlined").parentElement.hidden = Object.keys(result.outlines).length === 0;
  byId("votes").replaceChildren(...(hasClasses(result) && result.has_lungs ? [voteTable(result)] : []));
  byId("anatomy").replaceChildren(...(Object.keys(result.structures).length ? [anatomyTable(result)] : []));
  byId("trouble").hidden = true;
  const kinds = [["JSON", "json"], ["Lung mask", "mask.png"], ["Map", "map.png"], ["Overlay", "overlay.png"]];
  byId("downloads").replaceChildren(
    ...kinds.filter(([, kind]) => kind === "json" || result.files[kind]).map(([title, kind]) => {
      const button = element("button", title);
      button.type = "button";
      button.addEventListener("click", () => download(item, kind));
      return button;
    }),
  );
  drawMap();
}

function answer(result) {
  if (!result.has_lungs) return "No lungs were found.";
  if (!hasClasses(result)) return "Lungs and heart are outlined.";
  if (hasFindings(result)) {
    const withProbability = (label) => `${nameOf(label)} (probability ${result.probabilities[label].toFixed(2)})`;
    const found = predicted(result).map(withProbability);
    if (found.length) return `Predicted: ${found.join(", ")}.`;
    return `No finding is predicted; the most probable is ${withProbability(byProbability(result)[0])}.`;
  }
  const votes = `${result.votes[result.label]} of ${total(result.votes)} votes, probability ${result.confidence.toFixed(2)}`;
  return result.decision === "undecided" ? `Undecided; most votes are for ${nameOf(result.label)} (${votes}).` : `${nameOf(result.label)}: ${votes}.`;
}

function remarks(result) {
  const sentences = [];
  if (hasFindings(result) && result.has_lungs) sentences.push([result.threshold_note, false]);
  if (result.decision === "undecided") sentences.push(["Undecided: by the validation split, fewer than nine in ten predictions of this confidence are expected to be correct.", true]);
  if (result.ood_reason) sentences.push([`Out of distribution: ${result.ood_reason}. The label has no basis.`, true]);
  else if (result.ood_reason === "") sentences.push(["The out-of-distribution detector finds the image like the training radiographs.", false]);
  else if (hasClasses(result)) sentences.push(["This model has no out-of-distribution detector: any image gets a label.", true]);
  if (result.reason) sentences.push([`${result.reason[0].toUpperCase()}${result.reason.slice(1)}.`, true]);
  return sentences.map(([sentence, isWarning]) => element("p", sentence, isWarning ? "missing warning" : "note"));
}

function drawOutlines(result) {
  const svg = byId("outlines");
  svg.setAttribute("viewBox", `0 0 ${result.width} ${result.height}`);
  svg.replaceChildren(
    ...Object.entries(result.outlines).map(([name, path]) => {
      const node = document.createElementNS("http://www.w3.org/2000/svg", "path");
      node.setAttribute("class", name);
      node.setAttribute("d", path);
      return node;
    }),
  );
}

function drawMap() {
  if (!shown) return;
  const layer = shown.images.layers[byId("label").value];
  const opacity = byId("opacity").value;
  byId("layer").hidden = !layer;
  if (layer) byId("layer").src = layer;
  byId("layer").style.opacity = opacity / 100;
  byId("percent").value = `${opacity} %`;
  byId("outlines").toggleAttribute("hidden", !byId("outlined").checked);
  const parts = [shown.result.view && `View ${shown.result.view}.`, `${shown.result.width} × ${shown.result.height} pixels.`];
  if (shown.result.structures.heart) parts.push("Lungs in blue, heart in orange.");
  if (layer) parts.push(`Bright: where the patches show evidence for ${nameOf(byId("label").value)}.`);
  byId("caption").textContent = parts.filter(Boolean).join(" ");
}

function makeTable(title, head, rows) {
  const table = document.createElement("table");
  table.className = "votes";
  const heads = head.map((text) => Object.assign(element("th", text), { scope: "col" }));
  table.append(element("caption", title));
  if (heads.length) table.createTHead().insertRow().append(...heads);
  table.createTBody().append(...rows);
  return table;
}

function makeRow(name, cells, className = "") {
  const row = document.createElement("tr");
  row.className = className;
  row.append(Object.assign(element("th", name), { scope: "row" }), ...cells.map((text) => element("td", text)));
  return row;
}

function voteTable(result) {
  const isMulti = hasFindings(result);
  const all = isMulti ? result.num_patches : total(result.votes);
  const isFound = (label) => (isMulti ? result.findings[label] : label === result.label);
  const rows = (isMulti ? byProbability(result) : Object.keys(result.votes)).map((label) => {
    const count = result.votes[label];
    const cells = [String(count), result.probabilities[label].toFixed(2)];
    if (isMulti) cells.push(result.thresholds[label].toFixed(2));
    const row = makeRow(nameOf(label), cells, isFound(label) ? "found" : "");
    row.cells[1].className = "share";
    row.cells[1].style.setProperty("--share", percent(count / all).replace(" ", ""));
    return row;
  });
  const table = makeTable(
    `Votes of ${all} ${all === 1 ? "image" : "patches"}, and mean probability`, 
    isMulti ? ["finding", "votes", "probability", "predicted from"] : ["class", "votes", "probability"], rows,
  );
  if (isMulti && rows.length > FOLDED) foldRows(table, rows);
  return table;
}

// Hides all rows but the first ones, until the button in the last row is pressed.
function foldRows(table, rows) {
  const hidden = rows.slice(FOLDED).filter((row) => !row.classList.contains("found"));
  for (const row of hidden) row.hidden = true;
  if (!hidden.length) return;
  const button = element("button", `All ${rows.length} findings`);
  button.type = "button";
  const last = table.tBodies[0].insertRow();
  last.append(Object.assign(document.createElement("td"), { colSpan: 4 }));
  last.cells[0].append(button);
  button.addEventListener("click", () => {
    for (const row of hidden) row.hidden = false;
    last.remove();
  });
}

function anatomyTable(result) {
  const area = ({ pixels, mm2 }) => (mm2 === null ? `${pixels.toLocaleString("en")} px` : `${(mm2 / 100).toFixed(1)} cm²`);
  const names = { left_lung: "left lung", right_lung: "right lung", heart: "heart" };
  const rows = Object.entries(names).map(([key, name]) => makeRow(name, [area(result.structures[key])]));
  const ratio = result.lung_geometry.cardiothoracic_ratio;
  rows.push(makeRow("cardiothoracic ratio", [ratio == null ? "–" : ratio.toFixed(2)]));
  rows.push(makeRow("confidence of the lungs", [result.lung_confidence == null ? "–" : result.lung_confidence.toFixed(2)]));
  const unit = result.spacing ? "" : " (the file does not state the size of a pixel)";
  return makeTable(`Areas as outlined${unit}`, [], rows);
}

// The server keeps the latest predictions alone; a radiograph whose files are gone is sent again, with the same result.
async function download(item, kind) {
  byId("trouble").hidden = true;
  const stem = item.name.replace(/[\\/]/g, "_");
  const label = byId("label").value;
  const isMap = kind === "map.png" || (kind === "overlay.png" && label);
  try {
    if (kind === "json") return save(new Blob([JSON.stringify({ file: item.name, ...item.result }, null, 2)]), `${stem}.prediction.json`);
    const address = () => item.result.files[kind] + (isMap ? `?label=${encodeURIComponent(label)}` : "");
    const response = await ask(address()).catch(async (error) => {
      if (error.status !== 404) throw error;
      await predict(item);
      return ask(address());
    });
    save(await response.blob(), `${stem}.${isMap ? `${label}.` : ""}${kind}`);
  } catch (error) {
    byId("trouble").textContent = error instanceof Refusal ? error.message : "The server cannot be reached.";
    byId("trouble").hidden = false;
  }
}

function save(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

byId("files").addEventListener("change", () => { add(byId("files").files); byId("files").value = ""; });
byId("clear").addEventListener("click", () => {
  for (const item of items.splice(0)) if (item.state === "done") forget(item);
  shown = null;
  byId("list").replaceChildren();
  byId("result").hidden = true;
  byId("work").hidden = true;
  byId("files").focus();
});
for (const id of ["label", "opacity", "outlined"]) byId(id).addEventListener("input", drawMap);
document.addEventListener("paste", (event) => add(event.clipboardData.files));
document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragging"); });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dragging"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  add(event.dataTransfer.files);
});
byId("address").textContent = location.origin;
