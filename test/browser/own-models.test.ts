/**
 * Models of the user's own in the explorer, as folders and as GGUF files, picked and dropped: each view shows what the
 * library says in Node, and the console stays empty. What is no model is refused with the library's sentence.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cacheCosts, expectedRows } from "../../src/explain/index.js";
import { type LanguageModel, load, planLoad } from "../../src/index.js";
import { openPage } from "./explorer-page.js";
import { drop, loadPicked, pick } from "./own-model.js";
import { useExplorer } from "./use-explorer.js";

const explorer = useExplorer();
const fixture = (path: string) => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-own-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** A page whose console is kept. */
async function open() {
  const page = await openPage(explorer.browser);
  const said: string[] = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) said.push(message.text());
  });
  page.on("pageerror", (error) => said.push(error.message));
  await page.goto(`${explorer.address}#/next`);
  await page.locator('[data-model="stories"]').waitFor();
  return { page, said };
}

const whole = (text: string | null) => Number(text?.replaceAll(",", ""));

const MODELS = [
  { path: "families/gemma3", bring: pick, stack: "layers", windows: [8, null] },
  { path: "families/llama", bring: drop, stack: "layers", windows: [null] },
  { path: "gguf/gemma3-q8_0.gguf", bring: drop, stack: "layers", windows: [8] },
  { path: "gguf/llama-q4_k_m.gguf", bring: pick, stack: "layers", windows: [null] },
] as const;

test.each(MODELS)("$path: every view shows what it is", async ({ path, bring, stack, windows }) => {
  const { page, said } = await open();
  await bring(page, fixture(path));
  await using lm = await load(fixture(path), { threads: 1 });
  const plan = await planLoad(fixture(path));
  // How much it takes is said before it is taken.
  await page.locator("[data-plan]").waitFor();
  const amount = await page.locator('dialog [data-number="memory"]').textContent();
  expect(amount).toBe(`${(plan.memoryBytes / 1e6).toFixed(plan.memoryBytes < 1e7 ? 2 : 1)} MB`);
  await loadPicked(page);

  await page.goto(`${explorer.address}#/runs`);
  await expectRuns(page, lm);
  await page.goto(`${explorer.address}#/step`);
  await expectStep(page, lm, stack);
  await page.goto(`${explorer.address}#/cache`);
  await expectCache(page, windows);
  await page.goto(`${explorer.address}#/next`);
  await expectNext(page, lm);
  await expectTour(page, lm);

  // And back: the tour has left the view of a step.
  await page.getByRole("button", { name: "Back to the embedded model" }).click();
  await page.locator('[data-model="stories"]').waitFor();
  await page.locator('[data-same-bits="true"]').waitFor();
  expect(await page.locator(".controls select option").first().textContent()).toBe("h.0");
  expect(said).toEqual([]);
  await page.context().close();
});

const ids = (typed: string) => typed.split(" ").map(Number);

async function expectRuns(page: Page, lm: LanguageModel) {
  await page.locator('[data-verdict="identical"]').waitFor();
  await page.getByRole("button", { name: "Run both" }).waitFor();
  const typed = await page.locator("main form input").first().inputValue();
  const steps = Number(await page.getByLabel("Tokens").inputValue());
  const prompt = lm.tokenizer === null ? ids(typed) : typed;
  const promptLength = lm.promptTokens(prompt).length;
  const report = await lm.compare(prompt, { maxTokens: steps, seed: 7, temperature: 0.7, topK: 40 });
  const { tokens } = await lm
    .generate(prompt, { maxTokens: steps, seed: 7, temperature: 0.7, topK: 40 })
    .result();
  const text = lm.tokenizer === null ? `${typed} ${tokens.join(" ")}` : typed + report.text;
  const plain = (words: string | null) =>
    words
      ?.replace(/⟨end⟩|↵/g, " ")
      .replace(/\s+/g, " ")
      .trim();
  for (const way of ["cached", "recompute"] as const) {
    const panel = page.locator(`[data-way="${way}"]`);
    const taken = whole(await panel.locator('[data-number="steps"]').textContent());
    // Here the token that the last row of a full context chooses counts, too; there the one that ends the text does not.
    expect([0, 1]).toContain(taken - tokens.length);
    expect(whole(await panel.locator('[data-number="rows"]').textContent())).toBe(
      expectedRows(way, promptLength, taken),
    );
    expect(plain(await panel.locator(".text").textContent())!.startsWith(plain(text)!)).toBe(true);
  }
}

async function expectStep(page: Page, lm: LanguageModel, stack: string) {
  const { numLayers, numHeads } = lm.info.config;
  await page.locator('[data-same-bits="true"]').waitFor();
  const layers = page.locator(".controls select");
  expect(await layers.locator("option").allTextContents()).toEqual(
    Array.from({ length: numLayers }, (_, layer) => `${stack}.${layer}`),
  );
  expect(await page.getByRole("button", { name: /^Head \d+$/ }).count()).toBe(numHeads);
  await page.getByRole("button", { name: "With the KV cache" }).click();
  await page.locator('canvas[data-queries="1"]').waitFor();
  await page.locator('[data-same-bits="true"]').waitFor();
  const rows = Number(await page.locator("canvas").getAttribute("data-keys"));
  const costs = cacheCosts(lm.info, rows);
  expect(whole(await page.locator('[data-number="bytes"]').textContent())).toBe(costs.cacheBytes.sequence);
  const savings = await page.locator("[data-savings]").allTextContents();
  const expected = [costs.ungroupedCacheBytes?.token ?? [], costs.unwindowedCacheBytes?.context ?? []].flat();
  expect(savings.length).toBe(expected.length > 0 ? 1 : 0);
  for (const bytes of expected) expect(savings[0]).toContain(bytes.toLocaleString("en"));
  for (const figure of ["Attention inside", "Whole inference"]) {
    await page.getByRole("button", { name: figure }).click();
    await page.locator(`rect[data-tensor^="${stack}."]`).first().waitFor();
  }
  const firstWindow = lm.info.config.decoder.layers[0].attention.window;
  expect(await page.locator("[data-behind]").count()).toBe(firstWindow === null ? 0 : 1);
}

async function expectCache(page: Page, windows: readonly (number | null)[]) {
  await page.locator("[data-block]").first().waitFor();
  await page.getByLabel("Pace").selectOption("fast");
  const hasWindows = windows.some((window) => window !== null);
  const scenario = hasWindows ? "window" : "preempt";
  await page.locator(`[data-scenario="${scenario}"]`).click();
  await page.waitForFunction(() => {
    const slider = document.querySelector<HTMLInputElement>('input[aria-label="Event"]');
    const statuses = [...document.querySelectorAll("[data-status]")];
    const isOver =
      statuses.length > 0 && statuses.every((one) => one.getAttribute("data-status") === "ended");
    return slider !== null && Number(slider.max) > 20 && slider.value === slider.max && isOver;
  });
  const kinds = page.locator("[data-kind]");
  expect(await kinds.evaluateAll((all) => all.map((one) => one.getAttribute("data-kind")))).toEqual(
    hasWindows ? windows.map((window) => String(window ?? "all")) : [],
  );
  if (!hasWindows) return;
  // Shortly before the end: its windows have given back what the others still hold.
  const slider = page.getByRole("slider", { name: "Event" });
  await slider.fill(String(Number(await slider.inputValue()) - 30));
  for (const kind of await kinds.all()) {
    const isWindow = (await kind.getAttribute("data-kind")) !== "all";
    expect(Number(await kind.getAttribute("data-given-back")) > 0).toBe(isWindow);
    expect(Number(await kind.getAttribute("data-held"))).toBeGreaterThan(0);
  }
  const groups = page.locator("[data-group]");
  const behind = await groups.evaluateAll((all) =>
    all.map((one) => Number(one.getAttribute("data-behind")) > 0),
  );
  expect(new Set(behind)).toEqual(new Set(windows.map((window) => window !== null)));
  expect(whole(await page.locator('[data-number="given-back"]').textContent())).toBeGreaterThan(0);
}

async function expectNext(page: Page, lm: LanguageModel) {
  const first = page.locator("[data-token]").first();
  await first.waitFor();
  const typed = await page.locator("main form input").inputValue();
  const { logits } = await lm.logits(lm.tokenizer === null ? ids(typed) : typed);
  const top = Math.max(...logits);
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit - top), 0);
  expect(Number(await first.getAttribute("data-token"))).toBe(logits.indexOf(top));
  expect(Number(await first.getAttribute("data-model-probability"))).toBeCloseTo(1 / total, 5);
  await first.click();
  expect(await page.locator('[data-branch="1"]').getAttribute("data-rows-computed")).toBe("1");
}

/** The tour speaks of parts by the names that the checkpoint has for them. */
async function expectTour(page: Page, lm: LanguageModel) {
  await page.getByRole("button", { name: "Guided tour" }).click();
  for (let i = 0; i < 2; i++) await page.getByRole("button", { name: "Next", exact: true }).click();
  const text = await page.locator("aside p").textContent();
  const hasPositions = lm.info.config.decoder.learnedPositions > 0;
  expect(text).toMatch(
    hasPositions ? /^wte and wpe turn/ : /^embed_tokens turns .* q_proj, k_proj and v_proj make/,
  );
  await page.keyboard.press("Escape");
}

test("what is no model is refused in the library's words, and the page goes on", async () => {
  const text = join(folder, "notes.txt");
  await writeFile(text, "Once upon a time");
  const bare = join(folder, "bare");
  await mkdir(bare);
  await writeFile(join(bare, "config.json"), await readFile(fixture("families/llama/config.json")));
  const cut = join(folder, "cut.gguf");
  const whole = await readFile(fixture("gguf/llama-q8_0.gguf"));
  await writeFile(cut, whole.subarray(0, 100_000));
  const other = join(folder, "other");
  await mkdir(other);
  await writeFile(join(other, "config.json"), '{"model_type": "mamba"}');

  const { page, said } = await open();
  const file = async (path: string, name: string) => new File([new Uint8Array(await readFile(path))], name);
  const expected = async (source: Parameters<typeof planLoad>[0]) =>
    planLoad(source, { contextLength: 1 }).then(
      () => "nothing",
      ({ message }: Error) => message,
    );
  const wrong = [
    { path: text, sentence: await expected([await file(text, "notes.txt")]) },
    { path: cut, sentence: await expected([await file(cut, "cut.gguf")]) },
    { path: bare, sentence: (await expected(bare)).replaceAll(bare, "bare") },
    { path: other, sentence: (await expected(other)).replaceAll(`${other}/`, "") },
  ];
  for (const [i, { path, sentence }] of wrong.entries()) {
    if (i % 2 === 0) await drop(page, path);
    else if (path === cut) await page.locator('[data-pick="files"]').setInputFiles(path);
    else await page.locator('[data-pick="folder"]').setInputFiles(path);
    await page.locator("[data-error]").filter({ hasText: sentence }).waitFor();
    expect(await page.locator("[data-error]").textContent()).toBe(sentence);
    expect(await page.locator("[data-load]").count()).toBe(0);
  }
  await page.keyboard.press("Escape");
  expect(await page.locator("[data-model]").getAttribute("data-model")).toBe("stories");
  await page.locator("[data-kept]").waitFor();
  expect(said).toEqual([]);
  await page.context().close();
});

test("what does not fit is refused with the sum, and may fit with other weights", async () => {
  const { page } = await open();
  // The machine that the page sees: 4 MB.
  await page.evaluate(() =>
    Object.defineProperty(navigator, "deviceMemory", { value: 4 / 1024, configurable: true }),
  );
  await pick(page, fixture("gguf/llama-q8_0.gguf"));
  await page
    .locator("[data-error]")
    .filter({ hasText: /^llama-q8_0\.gguf needs .* this machine has 4\.19 MB\. / })
    .waitFor();
  expect(await page.locator("[data-load]").isDisabled()).toBe(true);
  await page.evaluate(() => Object.defineProperty(navigator, "deviceMemory", { value: 1 }));
  await page.getByLabel("Weights").selectOption("int8");
  await page.locator("[data-load]:enabled").waitFor();
  expect(await page.locator("[data-error]").count()).toBe(0);
  await page.context().close();
});

test("from an address: progress, cancelled, and loaded after all; a missing one is refused", async () => {
  const { page } = await open();
  let isHeld = false;
  let held: (() => void) | null = null;
  await page.route("**/mine/**", async (route) => {
    const name = new URL(route.request().url()).pathname.split("/").at(-1)!;
    const body = await readFile(fixture(`families/qwen3/${name}`)).catch(() => null);
    if (body === null) return route.fulfill({ status: 404 });
    if (isHeld && name === "model.safetensors")
      await new Promise<void>((resolve) => {
        held = resolve;
      });
    return route.fulfill({ body }).catch(() => undefined);
  });
  await page.locator("[data-own]").click();
  const address = page.getByLabel(/web address/);
  await address.fill("nowhere");
  await address.press("Enter");
  await page.locator("[data-error]").filter({ hasText: "config.json" }).waitFor();
  await address.fill(`${explorer.address}mine`);
  await address.press("Enter");
  await page.locator("[data-plan]").waitFor();
  isHeld = true;
  await page.locator("[data-load]").click();
  await page.getByRole("progressbar", { name: "Loading", exact: true }).waitFor();
  await page.locator("[data-cancel]").click();
  await page.locator("[data-load]").waitFor();
  (held as (() => void) | null)?.();
  isHeld = false;
  expect(await page.locator("[data-error]").count()).toBe(0);
  expect(await page.locator("[data-model]").getAttribute("data-model")).toBe("stories");
  await page.locator("[data-load]").click();
  await page.locator(`[data-model="${explorer.address}mine"]`).waitFor();
  await page.locator("[data-kept]").waitFor();
  await page.context().close();
});

test("by keyboard alone", async () => {
  const { page } = await open();
  await page.locator("[data-own]").focus();
  await page.keyboard.press("Enter");
  await page.locator("dialog[open]").waitFor();
  const reach = async (selector: string) => {
    for (let i = 0; i < 12; i++) {
      if (await page.locator(selector).evaluate((one) => one === document.activeElement)) return;
      await page.keyboard.press("Tab");
    }
    throw new Error(`${selector} is not reached`);
  };
  await reach('[data-pick="files"]');
  const outline = await page
    .locator("label:has(> :focus-visible)")
    .evaluate((label) => getComputedStyle(label).outlineStyle);
  expect(outline).not.toBe("none");
  const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.keyboard.press("Space")]);
  await chooser.setFiles(fixture("gguf/qwen3-f16.gguf"));
  await page.locator("[data-plan]").waitFor();
  await reach("[data-load]");
  await page.keyboard.press("Enter");
  await page.locator('[data-model="qwen3-f16.gguf"]').waitFor();
  await page.locator("[data-kept]").waitFor();
  // The dialog ends by Escape, and gives the focus back.
  await page.locator("[data-own]").focus();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Escape");
  await page.locator("dialog").waitFor({ state: "hidden" });
  expect(await page.evaluate(() => document.activeElement?.hasAttribute("data-own"))).toBe(true);
  await page.context().close();
});
