/**
 * Runs `lastrow compare` once and takes its picture for the README, docs/compare.png: `npm run docs:terminal`, on a quiet machine.
 * Prints the same run as text, which stands above the picture, so that both have the same numbers.
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify, stripVTControlCharacters } from "node:util";
import { DEFAULT_PROMPT } from "../src/cli/commands/compare.js";
import { launchChromium } from "../test/browser/explorer-page.js";

const COMMAND = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const PICTURE = fileURLToPath(new URL("../docs/compare.png", import.meta.url));
/** As wide as a story is told. */
const COLUMNS = 98;

/** What picocolors turns on, as CSS; any code that is not here turns it off. */
const STYLES: Readonly<Record<string, string>> = {
  "1": "font-weight: 700; color: #fff",
  "2": "color: #8b98a5",
  "31": "color: #ff8a80",
  "32": "color: #6fdc8c",
};

/** Text with colours for a terminal as HTML. */
function html(text: string): string {
  const [first = "", ...parts] = text
    .replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`)
    .split("\u001b[");
  const styled = parts.map((part) => {
    const end = part.indexOf("m");
    const style = STYLES[part.slice(0, end)];
    return `${style === undefined ? "</span>" : `<span style="${style}">`}${part.slice(end + 1)}`;
  });
  return [first, ...styled].join("");
}

/** The story comes as into a pipe, in one line a paragraph; a terminal's words stay whole. */
function folded(text: string): string {
  return text.replace(/[^\n]+/g, (line) => {
    if (stripVTControlCharacters(line).length <= COLUMNS) return line;
    let column = 0;
    return line
      .split(" ")
      .map((word, i) => {
        const { length } = stripVTControlCharacters(word);
        const begins = i > 0 && column + 1 + length > COLUMNS;
        column = begins || i === 0 ? length : column + 1 + length;
        return `${i === 0 ? "" : begins ? "\n" : " "}${word}`;
      })
      .join("");
  });
}

const { stdout } = await promisify(execFile)(process.execPath, [COMMAND, "compare"], {
  env: { ...process.env, FORCE_COLOR: "1" },
});
// A terminal has the prompt in bold; a pipe gets the story as it is.
const shown = folded(stdout.trimEnd()).replace(DEFAULT_PROMPT, (prompt) => `\u001b[1m${prompt}\u001b[22m`);
const browser = await launchChromium();
const page = await browser.newPage({ deviceScaleFactor: 2 });
await page.setContent(
  `<body style="margin: 0"><pre style="margin: 0; width: max-content; padding: 12px 18px; border-radius: 8px; background: #0f151b; color: #dfe5ea;` +
    ` font: 11px/16px 'DejaVu Sans Mono', monospace">$ npm start\n\n${html(shown)}</pre>`,
);
await page.locator("pre").screenshot({ path: PICTURE, omitBackground: true });
await browser.close();
process.stdout.write(`${stripVTControlCharacters(shown)}\n`);
