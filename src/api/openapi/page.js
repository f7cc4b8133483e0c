"use strict";
// Everything is put in as text: nothing of the document is ever read as markup.
const page = document.getElementById("page");
let spec;

function el(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// `code` in a text becomes code.
function prose(text) {
  const parts = (text || "").split("`").map((part, at) => (at % 2 ? el("code", {}, part) : part));
  return el("p", {}, ...parts);
}

function resolve(schema) {
  if (!schema || !schema.$ref) return schema || {};
  return spec.components.schemas[schema.$ref.split("/").pop()] || {};
}

function typeName(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.oneOf) return schema.oneOf.map(typeName).join(" or ");
  const types = [].concat(schema.type || "any");
  const names = types.map((type) => {
    if (type === "array") return "list of " + (typeName(schema.items) || "any");
    if (type === "object" && schema.additionalProperties) return "map to " + (typeName(schema.additionalProperties) || "any");
    return type === "string" && schema.format ? schema.format : type;
  });
  return names.join(" or ");
}

function bounds(schema) {
  const words = [];
  const add = (key, text) => { if (schema && schema[key] !== undefined) words.push(text + " " + JSON.stringify(schema[key])); };
  add("minimum", "from"); add("maximum", "to"); add("default", "default"); add("enum", "one of"); add("const", "exactly");
  add("minLength", "at least characters"); add("maxLength", "at most characters"); add("minItems", "at least items"); add("maxItems", "at most items");
  if (schema && schema.pattern) words.push("like " + schema.pattern);
  return words.join(", ");
}

// The schemas that a schema names, itself first.
function refs(schema, into) {
  if (!schema || typeof schema !== "object") return into;
  if (schema.$ref) {
    const name = typeName(schema);
    if (!into.includes(name)) { into.push(name); refs(resolve(schema), into); }
    return into;
  }
  for (const value of Object.values(schema)) refs(value, into);
  return into;
}

function row(...cells) { return el("tr", {}, ...cells.map((cell) => el("td", {}, cell))); }

function head(...names) { return el("tr", {}, ...names.map((name) => el("th", {}, name))); }

function fields(name) {
  const schema = resolve({ $ref: name });
  const required = schema.required || [];
  const rows = Object.entries(schema.properties || {}).map(([field, property]) => row(
    el("code", {}, field + (required.includes(field) ? "" : "?")), typeName(property),
    el("span", {}, prose(property.description), el("span", { class: "note" }, bounds(property)))));
  const shown = rows.length ? el("table", {}, ...rows) : el("p", {}, typeName(schema) + " " + bounds(schema));
  return el("div", {}, el("h3", {}, name), schema.description ? prose(schema.description) : null, shown);
}

function content(parts) {
  const shown = [];
  for (const [media, part] of Object.entries(parts || {})) {
    shown.push(el("p", {}, el("code", {}, media), " " + typeName(part.schema)));
    if (part.example !== undefined) {
      const text = typeof part.example === "string" ? part.example : JSON.stringify(part.example, null, 2);
      shown.push(el("pre", {}, text));
    }
    for (const name of refs(part.schema, [])) shown.push(fields(name));
  }
  return shown;
}

function quoted(text) { return "'" + text.replaceAll("'", "'\\''") + "'"; }

function command(method, path, operation) {
  let url = location.origin + path;
  for (const one of operation.parameters || []) if (one.in === "path") url = url.replace("{" + one.name + "}", one.example || one.name);
  const words = ["curl -sS -X " + method.toUpperCase(), quoted(url)];
  if (!operation["x-open"]) words.push('-H "Authorization: Bearer $AMPORA_TOKEN"');
  const body = Object.entries((operation.requestBody || {}).content || {})[0];
  if (body) {
    const text = typeof body[1].example === "string" ? body[1].example : JSON.stringify(body[1].example || {});
    words.push(quoted("-HContent-Type: " + body[0]), "--data-binary " + quoted(text));
  }
  return words.join(" \\\n  ");
}

function details(method, path, operation) {
  const shown = [prose(operation.description), el("pre", {}, command(method, path, operation))];
  const parameters = operation.parameters || [];
  if (parameters.length) {
    shown.push(el("h3", {}, "Parameters"), el("table", {}, head("name", "in", "type", ""), ...parameters.map((one) => row(
      el("code", {}, one.name), one.in, typeName(one.schema),
      el("span", {}, prose(one.description), el("span", { class: "note" }, bounds(one.schema)))))));
  }
  if (operation.requestBody) shown.push(el("h3", {}, "Body"), ...content(operation.requestBody.content));
  shown.push(el("h3", {}, "Answers"));
  const failures = [];
  for (const [status, answer] of Object.entries(operation.responses || {})) {
    if (answer["x-codes"]) { failures.push(row(status, prose(answer.description.replaceAll("- `", "`")))); continue; }
    shown.push(prose(status + " " + answer.description), ...content(answer.content));
    const headers = Object.entries(answer.headers || {}).filter(([name]) => name !== "X-Request-Id");
    for (const [name, header] of headers) shown.push(el("p", {}, el("code", {}, name), " " + header.description));
  }
  shown.push(el("h3", {}, "Errors"), el("table", {}, ...failures));
  return shown;
}

function entry(method, path, operation) {
  const role = operation["x-role"] || "open";
  const node = el("details", { id: operation.operationId || method + path },
    el("summary", {}, el("b", { class: method }, method.toUpperCase()), el("code", {}, path), operation.summary || "", el("span", { class: "role" }, role)));
  node.dataset.words = [method, path, operation.summary, role].join(" ").toLowerCase();
  // Made when it is first opened: most never are.
  node.addEventListener("toggle", () => { if (node.open && node.children.length === 1) node.append(el("div", {}, ...details(method, path, operation))); });
  return node;
}

function show() {
  const search = el("input", { type: "search", placeholder: "search paths, words, roles", "aria-label": "search" });
  const about = el("p", { class: "note" }, "version " + spec.info.version + " · ", el("a", { href: "/api/v1/openapi.json" }, "openapi.json"));
  page.replaceChildren(el("h1", {}, spec.info.title), about, prose(spec.info.description), search);
  const entries = [];
  for (const tag of spec.tags) {
    const section = el("section", {}, el("h2", {}, tag.name), prose(tag.description));
    for (const [path, item] of Object.entries(spec.paths)) {
      for (const [method, operation] of Object.entries(item)) {
        if ((operation.tags || [])[0] !== tag.name) continue;
        const node = entry(method, path, operation);
        entries.push(node);
        section.append(node);
      }
    }
    page.append(section);
  }
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/);
    for (const node of entries) node.hidden = !words.every((word) => node.dataset.words.includes(word));
    for (const section of page.querySelectorAll("section")) section.hidden = !section.querySelector("details:not([hidden])");
  });
  const open = document.getElementById(location.hash.slice(1));
  if (open) { open.open = true; open.scrollIntoView(); }
}

fetch("/api/v1/openapi.json").then((answer) => answer.json()).then((document) => { spec = document; show(); })
  .catch((error) => page.replaceChildren(el("p", {}, "The document cannot be read: " + error)));
