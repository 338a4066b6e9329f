/** `lastrow models`: what it shows of a cache, and what it asks before it removes. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { run } from "./captured-io.js";
import { TypedTerminal } from "./typed-terminal.js";

const COMMIT = "ab".repeat(20);
const DAY = 86_400;

let cache: string;
let env: { HF_HUB_CACHE: string };
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), "lastrow-models-"));
  env = { HF_HUB_CACHE: cache };
});
afterEach(() => rm(cache, { recursive: true }));

/** @param days since it was last read */
async function put(
  repo: string,
  files: Readonly<Record<string, number>>,
  { commit = COMMIT, ref = "main", days = 0 } = {},
) {
  const folder = join(cache, `models--${repo.replace("/", "--")}`);
  const snapshot = join(folder, "snapshots", commit);
  for (const path of [join(folder, "blobs"), snapshot, join(folder, "refs")])
    await mkdir(path, { recursive: true });
  for (const [name, size] of Object.entries(files)) {
    const blob = join(folder, "blobs", `${name}-${size}`);
    await writeFile(blob, "x".repeat(size));
    const then = Date.now() / 1000 - days * DAY;
    await utimes(blob, then, then);
    await symlink(`../../blobs/${name}-${size}`, join(snapshot, name));
  }
  await writeFile(join(folder, "refs", ref), commit);
  return folder;
}

const typed = (...args: string[]) => new TypedTerminal(["models", ...args], { env });

describe("lists", () => {
  it("what is there: sizes, when it was used, revisions, what is wrong", async () => {
    await put("openai-community/gpt2", { "config.json": 10, "model.safetensors": 1500 }, { days: 3 });
    await put("org/m-GGUF", { "m-Q8_0.gguf": 2000, "m-Q4_K_M.gguf": 1000 }, { days: 40 });
    await put("org/m-GGUF", { "m-Q8_0.gguf": 10 }, { commit: "cd".repeat(20), ref: "v1", days: 40 });
    const broken = await put("org/broken", { "pytorch_model.bin": 7 }, { days: 1 });
    await symlink("../../blobs/none", join(broken, "snapshots", COMMIT, "config.json"));
    await writeFile(join(broken, "refs", "old"), "ef".repeat(20));
    await writeFile(join(broken, "blobs", "x.incomplete"), "12345");
    await writeFile(join(cache, "models--file"), "");
    const { exitCode, stdout } = await run(["models"], { env, isTerminal: true });
    expect(exitCode).toBe(0);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colours
    const lines = stdout.replace(/\u001b\[\d+m/g, "").split("\n");
    expect(lines.slice(2)).toEqual([
      " 0 bytes               file",
      "                         cannot be read: ENOTDIR",
      " 1.51 kB  3 days ago   openai-community/gpt2",
      "                         @main  safetensors",
      "12 bytes  today        org/broken",
      "                         @main  no weights that lastrow reads  1 file is missing",
      "                         is being downloaded: 5 bytes so far",
      "                         old: its commit is not here",
      " 3.01 kB  5 weeks ago  org/m-GGUF",
      "                         @main  GGUF Q4_K_M, Q8_0  3 kB",
      "                         @v1  GGUF Q8_0  10 bytes",
      "",
      `4 models, 4.53 kB, in ${cache}`,
      "",
    ]);
  });

  it("as JSON, with every file", async () => {
    await put("org/model", { "config.json": 10 });
    const { stdout } = await run(["models", "--json"], { env });
    const { models, ...rest } = JSON.parse(stdout);
    expect(rest).toEqual({ cacheFolder: cache, bytes: 10 });
    expect(models).toMatchObject([
      {
        ...{
          name: "org/model",
          bytes: 10,
          unfinishedBytes: 0,
          isDownloading: false,
          lostRefs: [],
          problem: null,
        },
        revisions: [
          { commit: COMMIT, refs: ["main"], bytes: 10, files: [{ path: "config.json", bytes: 10 }] },
        ],
      },
    ]);
    expect(Date.now() - Date.parse(models[0].lastUsed)).toBeLessThan(60_000);
  });

  it("nothing where there is nothing, and says what keeps it from reading", async () => {
    const none = join(cache, "none");
    const { stdout, exitCode } = await run(["models"], { env: { HF_HUB_CACHE: none } });
    expect([stdout, exitCode]).toEqual([`No models are downloaded; they would be in ${none}.\n`, 0]);
    const json = await run(["models", "--json"], { env: { HF_HUB_CACHE: none } });
    expect(JSON.parse(json.stdout)).toEqual({ cacheFolder: none, bytes: 0, models: [] });
    const file = join(cache, "file");
    await writeFile(file, "");
    const wrong = await run(["models"], { env: { HF_HUB_CACHE: file } });
    expect([wrong.exitCode, wrong.stdout]).toEqual([1, ""]);
    expect(wrong.stderr).toContain("ENOTDIR");
    expect((await run(["models", "gpt2"], { env })).exitCode).toBe(1);
  });

  it("names that a terminal would obey as harmless ones", async () => {
    await put("org/m\u001b[2Jx", { "a\u001b[2J.gguf": 1 }, { ref: "v\u001b[2J" });
    const { stdout } = await run(["models"], { env, isTerminal: true });
    expect(stdout).not.toContain("\u001b[2J");
  });
});

describe("rm", () => {
  it.each([
    ["y\n", 0, false],
    ["YES\n", 0, false],
    ["n\n", 1, true],
    ["\n", 1, true],
    ["yeah\n", 1, true],
    ["\u0004", 1, true],
  ])("asks first; the answer %j", async (answer, exitCode, stays) => {
    const folder = await put("org/model", { "model.safetensors": 1500 });
    const terminal = typed("rm", "org/model");
    await terminal.until(/Remove org\/model \(1\.5 kB\)\? \[y\/N\]/);
    terminal.type(answer);
    await terminal.until(stays ? /Nothing was removed\./ : /Removed org\/model \(1\.5 kB\)\./);
    expect(await terminal.exitCode).toBe(exitCode);
    expect(existsSync(folder)).toBe(stays);
  });

  it("removes nothing where there is no terminal to ask on, unless told not to ask", async () => {
    const first = await put("org/first", { "model.safetensors": 1500 });
    await put("org/m-GGUF", { "m-Q8_0.gguf": 2000, "m-Q4_K_M.gguf": 1000 });
    const names = ["org/first", "org/m-GGUF:Q8_0"];
    const refused = await run(["models", "rm", ...names], { env });
    expect(refused.exitCode).toBe(1);
    expect(refused.stderr).toMatch(/This is not a terminal.*--yes/);
    expect(existsSync(first)).toBe(true);
    const { exitCode, stdout } = await run(["models", "rm", ...names, "--yes", "--json"], { env });
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      removed: [
        { name: "org/first", isWhole: true, revisions: [{ commit: COMMIT, files: null }], bytes: 1500 },
        {
          ...{ name: "org/m-GGUF", isWhole: false, bytes: 2000 },
          revisions: [{ commit: COMMIT, files: ["m-Q8_0.gguf"] }],
        },
      ],
      ...{ bytes: 3500, sharedBytes: 0 },
    });
    expect(existsSync(first)).toBe(false);
    expect(await readdir(join(cache, "models--org--m-GGUF", "snapshots", COMMIT))).toEqual(["m-Q4_K_M.gguf"]);
  });

  it("removes nothing when one of the names is wrong", async () => {
    const folder = await put("org/model", { "model.safetensors": 1 });
    for (const [names, words] of [
      [["org/model", "org/other"], /org\/other is not downloaded/],
      [["org/model", "org/model@main"], /are of one repository; remove one after the other/],
      [["org/model", "../x"], /is not a Hub name/],
      [[], /Missing required argument 'model'/],
    ] as const) {
      const { exitCode, stderr } = await run(["models", "rm", "--yes", ...names], { env });
      expect([exitCode, stderr], names.join()).toEqual([1, expect.stringMatching(words)]);
      expect(existsSync(folder)).toBe(true);
    }
    // The same name twice is one.
    expect((await run(["models", "rm", "-y", "org/model", "org/model"], { env })).exitCode).toBe(0);
    expect(existsSync(folder)).toBe(false);
  });
});
