/**
 * The packed library in programs of its users, built by each bundler with no setting of its own, and run: in Node, and in
 * Chromium (`CHROMIUM` names another than Debian's). `npm run test:bundlers`.
 */
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { load } from "../../dist/index.js";
import * as bundlers from "./bundlers.mjs";
import { serveFolder, serveNext } from "./serve.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = join(here, "../..");
const folder = mkdtempSync(join(tmpdir(), "lastrow-bundlers-"));
const npm = (args, cwd) => execFileSync("npm", args, { cwd, stdio: ["ignore", "pipe", "inherit"] });
const QUIET = ["--no-audit", "--no-fund", "--prefer-offline"];

/** What is wrong, by program. */
const failures = [];
let checked = 0;

function expectSame(program, found, expected) {
  checked += 1;
  if (JSON.stringify(found) === JSON.stringify(expected)) return;
  failures.push(`${program}:\n  ${JSON.stringify(found)}\nexpected:\n  ${JSON.stringify(expected)}`);
}

/** What a page fetches of scripts until it has its answer, compressed: it grows only when somebody says so here. */
function expectAtMost(program, bytes, most) {
  checked += 1;
  const size = `${program}: ${(bytes / 1000).toFixed(1)} kB of scripts, gzip`;
  process.stdout.write(`${size}\n`);
  if (bytes > most) failures.push(`${size}; at most ${most / 1000} kB are allowed (bundlers.mjs)`);
}

const lm = await load();
const { text } = await lm.generate("Once upon a time", { maxTokens: 12, seed: 3 }).result();
await lm.dispose();

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
try {
  // A project as its user has it: with the package in it, and nothing of this repository above it.
  cpSync(join(here, "program"), folder, { recursive: true });
  for (const name of ["package.json", "package-lock.json", ".npmrc"])
    cpSync(join(here, name), join(folder, name));
  npm(["ci", ...QUIET], folder);
  const [{ filename }] = JSON.parse(
    npm(["pack", "--json", "--ignore-scripts", "--pack-destination", folder], root),
  );
  npm(["install", ...QUIET, "--ignore-scripts", "--no-save", "--no-package-lock", `./${filename}`], folder);

  for (const [name, build] of Object.entries(bundlers.forNode)) {
    const bundle = await build(folder);
    const output = execFileSync(process.execPath, [bundle], {
      cwd: folder,
      encoding: "utf8",
      timeout: 60_000,
    });
    expectSame(`${name}, Node`, JSON.parse(output), { text, worker: true, replied: 12, served: text });
  }
  for (const [name, { build, findsWorker, mostScriptBytes }] of Object.entries(bundlers.forPages)) {
    const site = await serveFolder(await build(folder), {
      "/stories": join(folder, "node_modules/lastrow/models/stories"),
    });
    expectSame(`${name}, page`, await answerOf(site.url), { text, worker: findsWorker });
    expectAtMost(`${name}, page`, site.scriptBytes(), mostScriptBytes);
    site.close();
  }
  for (const [name, build] of Object.entries(bundlers.ofNext)) {
    build(folder);
    const site = await serveNext(folder);
    try {
      expectSame(`${name}, route`, await (await fetch(`${site.url}/story`)).json(), { text, worker: true });
      const served = await fetch(`${site.url}/v1/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ prompt: "Once upon a time", max_tokens: 12, seed: 3 }),
      });
      expectSame(`${name}, server`, (await served.json()).choices?.[0].text, text);
      expectSame(`${name}, page`, await answerOf(site.url), { text, worker: true });
    } finally {
      await site.close();
    }
  }
} finally {
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
}

if (failures.length > 0) {
  process.stderr.write(`${failures.join("\n")}\n`);
  process.exit(1);
}
process.stdout.write(`${checked} bundles give the same text\n`);

/** What a page says once it has its answer. */
async function answerOf(url) {
  const page = await browser.newPage();
  try {
    await page.goto(url);
    const found = page.locator("#answer:not(:empty)");
    await found.waitFor({ timeout: 60_000 });
    return JSON.parse(await found.textContent());
  } finally {
    await page.close();
  }
}
