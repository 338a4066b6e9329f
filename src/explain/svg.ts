/** Draws a scene as a standalone SVG: shapes, a style sheet, and a description for screen readers. */
import type { Scene, SceneNode, SceneRole, TextRole } from "./scene.js";

/** `auto`: light, or dark where the viewer prefers it. */
export type SvgTheme = "auto" | "light" | "dark";

/** How a figure looks. */
export interface SvgOptions {
  /** Default `auto`. */
  readonly theme?: SvgTheme | undefined;
  /**
   * Begins the names of classes and patterns, so that several figures can stand in one page: letters, digits and hyphens,
   * a letter first; anything else is escaped. Default `lr`.
   */
  readonly prefix?: string | undefined;
}

/** Colours of one theme. */
interface Theme {
  readonly paper: string;
  readonly ink: string;
  readonly soft: string;
  readonly faint: string;
  readonly row: string;
  readonly rowLine: string;
  readonly last: string;
  readonly lastLine: string;
  readonly needed: string;
  readonly neededLine: string;
  readonly cached: string;
  readonly cachedLine: string;
  readonly frame: string;
}

/** Yellow stays bright in every theme. */
const ON_LAST_ROW = "#1c2733";

const LIGHT: Theme = {
  paper: "#ffffff",
  ink: "#1c2733",
  soft: "#5b6875",
  faint: "#a9b4bf",
  row: "#f0f3f6",
  rowLine: "#9aa7b4",
  last: "#ffd23f",
  lastLine: "#6b5200",
  needed: "#dfe8f7",
  neededLine: "#3d66a8",
  cached: "#d9efe8",
  cachedLine: "#1f7a63",
  frame: "#f8fafb",
};

const DARK: Theme = {
  paper: "#0f151c",
  ink: "#e8edf2",
  soft: "#9aa8b5",
  faint: "#4d5a67",
  row: "#222c37",
  rowLine: "#5b6b7b",
  last: "#f2c230",
  lastLine: "#fff1bf",
  needed: "#22375a",
  neededLine: "#7aa5ea",
  cached: "#173f37",
  cachedLine: "#5cc9ab",
  frame: "#141c25",
};

/** Draws a figure. @returns the text of an SVG file */
export function renderSvg(scene: Scene, options: SvgOptions = {}): string {
  const { theme = "auto" } = options;
  const prefix = nameOf(options.prefix ?? "lr");
  const { width, height, title, description } = scene;
  const size = `${round(width)} ${round(height)}`;
  const rules =
    theme === "auto"
      ? `${styleSheet(LIGHT, prefix)}\n@media (prefers-color-scheme: dark) {\n${styleSheet(DARK, prefix)}\n}`
      : styleSheet(theme === "dark" ? DARK : LIGHT, prefix);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size}" width="${round(width)}" height="${round(height)}" role="img" aria-labelledby="${prefix}-title ${prefix}-desc">`,
    `<title id="${prefix}-title">${escaped(title)}</title>`,
    `<desc id="${prefix}-desc">${escaped(description)}</desc>`,
    `<style>\n${STRUCTURE(prefix)}\n${rules}\n</style>`,
    definitions(prefix),
    `<rect class="${prefix}-paper" width="${round(width)}" height="${round(height)}"/>`,
    ...scene.nodes.map((node) => drawn(node, prefix)),
    "</svg>\n",
  ].join("\n");
}

function drawn(node: SceneNode, prefix: string): string {
  switch (node.type) {
    case "rect": {
      const { x, y, width, height, role, radius, rows } = node;
      const place = `x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}"`;
      const corner = radius === undefined ? "" : ` rx="${round(radius)}"`;
      const data =
        rows === undefined
          ? ""
          : ` data-tensor="${escaped(rows.name)}" data-rows="${rows.from === rows.to - 1 ? rows.from : `${rows.from}-${rows.to - 1}`}"`;
      return `<rect class="${prefix}-${role}" ${place}${corner}${data}/>`;
    }
    case "path": {
      const arrow = node.isArrow === true ? ` marker-end="url(#${prefix}-arrow)"` : "";
      return `<path class="${prefix}-${node.role}" d="${node.d}"${arrow}/>`;
    }
    case "text":
      return `<text class="${prefix}-${node.role}" x="${round(node.x)}" y="${round(node.y)}" text-anchor="${node.anchor}">${escaped(node.text)}</text>`;
    case "group":
      return `<g><title>${escaped(node.title)}</title>${node.children.map((child) => drawn(child, prefix)).join("")}</g>`;
  }
}

/** Patterns mark what colours mark, for readers who see no colours, and for print. */
function definitions(prefix: string): string {
  const hatch = (name: string, lines: string) =>
    `<pattern id="${prefix}-${name}-pattern" width="6" height="6" patternUnits="userSpaceOnUse"><rect class="${prefix}-${name}-ground" width="6" height="6"/><path class="${prefix}-${name}-line" d="${lines}"/></pattern>`;
  return [
    "<defs>",
    hatch("needed", "M-1,7L7,-1M-4,4L4,-4M2,10L10,2"),
    hatch("cached", "M-1,-1L7,7M-1,7L7,-1"),
    `<marker id="${prefix}-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path class="${prefix}-arrowhead" d="M0,0.6L8,4L0,7.4z"/></marker>`,
    "</defs>",
  ].join("");
}

const SANS = "Inter, 'Helvetica Neue', Helvetica, Arial, sans-serif";
const MONO = "'SF Mono', 'JetBrains Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace";

/** What is the same in every theme. */
function STRUCTURE(prefix: string): string {
  const sizes: Readonly<Record<TextRole, string>> = {
    title: `font: 600 15px ${SANS}`,
    name: `font: italic 600 13px ${SANS}`,
    shape: `font: 10px ${MONO}`,
    operation: `font: 11px ${MONO}`,
    note: `font: 11.5px ${SANS}`,
    tick: `font: 9.5px ${MONO}`,
    tickOnLastRow: `font: 9.5px ${MONO}`,
  };
  const lines: Readonly<Partial<Record<SceneRole, string>>> = {
    row: "stroke-width: 0.75",
    lastRow: "stroke-width: 1.5",
    needed: "stroke-width: 0.9",
    cached: "stroke-width: 0.9",
    absent: "fill: none; stroke-width: 0.8; stroke-dasharray: 2 3",
    masked: "fill: none; stroke-width: 0.5; stroke-dasharray: 1.5 2",
    frame: "stroke-width: 1",
    flow: "fill: none; stroke-width: 1.3; stroke-linejoin: round",
    leader: "fill: none; stroke-width: 1.2",
    axis: "fill: none; stroke-width: 1",
    grid: "fill: none; stroke-width: 0.75",
    curveCached: "fill: none; stroke-width: 2; stroke-linejoin: round",
    curveRecompute: "fill: none; stroke-width: 2; stroke-linejoin: round",
    formula: "fill: none; stroke-width: 1.2; stroke-dasharray: 2 4",
  };
  return [...Object.entries(sizes), ...Object.entries(lines)]
    .map(([role, style]) => `.${prefix}-${role} { ${style} }`)
    .join("\n");
}

function styleSheet(theme: Theme, prefix: string): string {
  const { paper, ink, soft, faint } = theme;
  const rules: Readonly<Record<string, string>> = {
    paper: `fill: ${paper}`,
    "title, .name, .operation": `fill: ${ink}`,
    "shape, .note": `fill: ${soft}`,
    tick: `fill: ${ink}`,
    row: `fill: ${theme.row}; stroke: ${theme.rowLine}`,
    lastRow: `fill: ${theme.last}; stroke: ${theme.lastLine}`,
    needed: `fill: url(#${prefix}-needed-pattern); stroke: ${theme.neededLine}`,
    cached: `fill: url(#${prefix}-cached-pattern); stroke: ${theme.cachedLine}`,
    "needed-ground": `fill: ${theme.needed}`,
    "needed-line": `stroke: ${theme.neededLine}; stroke-width: 0.9; stroke-opacity: 0.65`,
    "cached-ground": `fill: ${theme.cached}`,
    "cached-line": `stroke: ${theme.cachedLine}; stroke-width: 0.8; stroke-opacity: 0.6`,
    absent: `stroke: ${faint}`,
    masked: `stroke: ${faint}`,
    ellipsis: `fill: ${ink}`,
    "tickOnLastRow, .ellipsisOnLastRow": `fill: ${ON_LAST_ROW}`,
    frame: `fill: ${theme.frame}; stroke: ${faint}`,
    "flow, .leader": `stroke: ${soft}`,
    arrowhead: `fill: ${soft}`,
    axis: `stroke: ${soft}`,
    grid: `stroke: ${theme.row}`,
    curveCached: `stroke: ${theme.cachedLine}`,
    curveRecompute: `stroke: ${theme.neededLine}`,
    formula: `stroke: ${ink}`,
  };
  return Object.entries(rules)
    .map(([roles, style]) => {
      const selector = roles.split(", .").map((role) => `.${prefix}-${role}`);
      return `${selector.join(", ")} { ${style} }`;
    })
    .join("\n");
}

/** Hundredths are finer than the eye sees. */
function round(value: number): string {
  return String(Math.round(value * 100) / 100);
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
};

/** Text as XML has it; characters that no XML may hold are left out. */
/**
 * A prefix as the beginning of names, in attributes and in the style sheet: what no name may have, or not begin with,
 * becomes `_` and its code. Prefixes that differ stay different.
 */
function nameOf(prefix: string): string {
  return prefix.replace(/[^A-Za-z0-9-]|^[0-9-]/gu, (char) => `_${char.codePointAt(0)?.toString(16)}_`);
}

function escaped(text: string): string {
  return text
    .replace(/[&<>"]/g, (char) => ENTITIES[char])
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd");
}
