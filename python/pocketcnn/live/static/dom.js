// Making elements, and writing numbers.

/** An element: make("button", { class: "map", onclick: f }, "text", child...). */
export function make(tag, settings = {}, ...children) {
  return fill(document.createElement(tag), settings, children);
}

/** The same for a drawing. */
export function draw(tag, settings = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), settings, children);
}

function fill(element, settings, children) {
  for (const [name, value] of Object.entries(settings)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

export const find = (id) => document.getElementById(id);

/** A number in few characters, with a real minus sign. */
export function short(value, digits = 3) {
  if (value === null || !Number.isFinite(value)) return "∅";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e5 || size < 0.0005)) {
    return value.toExponential(1).replace("-", "−").replace("e+", "e").replace("e-", "e−");
  }
  const whole = size < 1 ? 0 : Math.floor(Math.log10(size)) + 1;
  const places = size === 0 ? 0 : Math.max(0, digits - whole);
  const text = value.toFixed(places);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}

export const shapeText = (shape) => shape.join(" × ");
export const percent = (share) => `${(100 * share).toFixed(1)} %`;
