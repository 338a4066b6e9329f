/** What a person sees at a terminal of 80 columns: nothing is wider, words stay whole, and what was done is said. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { VERSION } from "../../src/version.js";
import { type CapturedOptions, run } from "./captured-io.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-terminal-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const COMMANDS = [
  ...["compare", "explain", "generate", "logits", "inspect", "tokenize", "perplexity"],
  ...["embed", "cache", "bench", "chat", "serve", "models"],
];

async function onTerminal(args: readonly string[], options: CapturedOptions = {}) {
  const shown = await run(args, { isTerminal: true, ...options });
  return { ...shown, lines: stripVTControlCharacters(shown.stdout).split("\n") };
}

function expectNarrow(lines: readonly string[]): void {
  for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(80);
}

describe("help", () => {
  test.each(COMMANDS)("of %s, three ways, fits", async (command) => {
    const { lines, stdout, exitCode } = await onTerminal([command, "--help"]);
    expect(exitCode).toBe(0);
    expectNarrow(lines);
    expect((await onTerminal([command, "-h"])).stdout).toBe(stdout);
    expect((await onTerminal(["help", command])).stdout).toBe(stdout);
  });

  it("and the version are there by their short names", async () => {
    const { stdout, lines } = await onTerminal(["--help"]);
    expectNarrow(lines);
    for (const args of [["-h"], ["help"], []]) expect((await onTerminal(args)).stdout).toBe(stdout);
    for (const name of ["-v", "--version"]) expect((await run([name])).stdout).toBe(`${VERSION}\n`);
    const unknown = await run(["help", "generat"]);
    expect(unknown.exitCode).toBe(1);
    expect(unknown.stderr).toMatch(/Did you mean generate\?/);
  });
});

/** Of a telephone, or of a window that is split. */
const NARROW = 40;

describe(`in ${NARROW} columns`, () => {
  test.each(COMMANDS)("the options of %s stand above what they do", async (command) => {
    const { lines } = await onTerminal([command, "--help"], { columns: NARROW });
    const options = lines.slice(0, lines.indexOf("Examples:")).filter((line) => /^ {2,}/.test(line));
    expect(options.length).toBeGreaterThan(2);
    for (const line of options) expect(line.length, line).toBeLessThanOrEqual(NARROW);
    expect(lines.join(" ").replace(/ +/g, " ")).toContain("-h, --help show this help");
  });

  const model = ["--threads", "1"];
  test.each([
    [["compare", "--max-tokens", "10", ...model], /^ +cached +recompute$/m],
    [["logits", "Once upon a", ...model], /^token +id +probability +logprob$/m],
    [["logits", "Once upon a", "--all", ...model], /^token +likeliest next$/m],
    [["tokenize", "Once upon a time"], /^position +id +text$/m],
    [["cache", ...model], /^ +0 +16 +32 +48 +64$/m],
    [["perplexity", "models/stories/config.json", ...model], /^stories · f32 weights$/m],
  ])("%j fits", async (args, head) => {
    const { lines, exitCode } = await onTerminal(args, { columns: NARROW, env: { TERM: "dumb" } });
    expect(exitCode).toBe(0);
    expect(lines.join("\n")).toMatch(head);
    for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(NARROW);
  });

  it("a stage stands above what its last row needs", async () => {
    const args = ["explain", "--max-tokens", "3", ...model];
    const { lines } = await onTerminal(args, { columns: NARROW, env: { TERM: "dumb" } });
    const from = lines.findIndex((line) => line.startsWith("stage "));
    const stages = lines.slice(from, lines.indexOf("", from));
    expect(stages.join("\n")).toMatch(/^ {2}attn\.scores\n {4}1 of Q \+\n {4}all \d+ of K\n/m);
    for (const line of stages) expect(line.length, line).toBeLessThanOrEqual(NARROW);
  });
});

it("in a pipe no table is turned, and no column left out", async () => {
  const { stdout } = await run(["logits", "Once upon a", "--threads", "1"], { columns: NARROW });
  expect(stdout).toMatch(/^token +id +probability +logprob +logit$/m);
});

describe("what a command shows fits", () => {
  const model = ["--threads", "1"];
  test.each([
    [["inspect", ...model]],
    [["cache", ...model]],
    [["explain", "--max-tokens", "3", ...model]],
    [["logits", "Once upon a", ...model]],
    [["logits", "Once upon a", "--all", ...model]],
    [["tokenize", "Once upon a time"]],
    [["compare", "--max-tokens", "40", ...model]],
    [["generate", "Tom had", "--max-tokens", "60", "--seed", "3", ...model]],
  ])("%j", async (args) => {
    const { lines, exitCode, stderr } = await onTerminal(args, { env: { TERM: "dumb" } });
    expect([exitCode, lines.length > 1]).toEqual([0, true]);
    expectNarrow(lines);
    expect(stderr).not.toMatch(/error/);
  });
});

test.each([80, 60, 44])("a GGUF file is shown in %d columns", async (columns) => {
  const args = ["inspect", "--model", "test/fixtures/gguf/qwen3-f16.gguf", "--threads", "1"];
  const { lines, exitCode } = await onTerminal(args, { columns, env: { TERM: "dumb" } });
  expect(exitCode).toBe(0);
  for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(columns);
  const key = lines.findIndex((line) => line.startsWith("tokenizer.ggml.tokens"));
  expect(lines.slice(key, key + 2).join(" ")).toMatch(/^tokenizer\.ggml\.tokens +288 texts/);
});

it("errors are broken at words on a terminal, and stay one line in a pipe", async () => {
  const args = ["serve", "--host", "0.0.0.0"];
  const piped = await run(args);
  const shown = await onTerminal(args);
  expect(piped.stderr).toMatch(/^error: Anyone who can reach .{60,}\n$/);
  const lines = stripVTControlCharacters(shown.stderr).trimEnd().split("\n");
  expect(lines.length).toBeGreaterThan(1);
  expectNarrow(lines);
  expect(`${lines.join(" ")}\n`).toBe(piped.stderr);
});

it("what a model lacks is told with the option that helps", async () => {
  const { stderr } = await run(["chat", "--threads", "1"], { stdin: "" });
  expect(stderr).toMatch(
    /no chat template; take a model that has one, such as Qwen\/Qwen3-0.6B-GGUF, give one of your own \(--chat-template\)/,
  );
});

describe("generate", () => {
  const asked = ["generate", "Tom had", "--max-tokens", "20", "--seed", "3", "--threads", "1"];

  it("shows the prompt on a terminal, and what was generated in a pipe", async () => {
    const piped = (await run(asked)).stdout;
    expect(piped.startsWith(" a ")).toBe(true);
    const { lines } = await onTerminal(asked);
    expect(lines.join(" ").trim()).toBe(`Tom had${piped}`.trim());
  });

  it("shows several as each alone, spaces and counts alike", async () => {
    const several = [...asked, "--n", "2"];
    const alone = await Promise.all(
      ["3", "4"].map(async (seed) => (await run([...asked, "--seed", seed])).stdout),
    );
    expect((await run(several)).stdout).toBe(`${alone[0]}\n${alone[1]}`);
    const { lines, stderr } = await onTerminal(several);
    expect(lines.filter((line) => line.startsWith("Tom had"))).toHaveLength(2);
    expect(stripVTControlCharacters(stderr)).toMatch(/40 tokens · /);
  });
});

describe("files", () => {
  it("are named when they were written", async () => {
    const plot = join(folder, "plots/p.svg");
    const compared = await run(["compare", "--max-tokens", "2", "--threads", "1", "--plot", plot]);
    expect(compared.stdout).toContain(`\nplot in ${plot}\n`);
    expect(await readFile(plot, "utf8")).toMatch(/^<svg/);
    const figures = join(folder, "figures");
    const explained = await run(["explain", "--max-tokens", "2", "--threads", "1", "--svg", figures]);
    expect(explained.stdout.match(/^figure in .*\.svg$/gm)).toHaveLength(4);
  });

  it("that cannot be written are told before anything is loaded", async () => {
    await writeFile(join(folder, "file"), "");
    const none = join(folder, "none");
    for (const [args, reason] of [
      [["compare", "--plot", join(folder, "file/p.svg")], "it is not a folder"],
      [["explain", "--svg", join(folder, "file")], "it is not a folder"],
      [["generate", "Tom", "--save", join(none, "s")], "there is no such folder"],
    ] as const) {
      // A model that does not exist would be told first if it were looked for.
      const { exitCode, stdout, stderr } = await run([...args, "--model", "./no-such-model"]);
      expect([exitCode, stdout]).toEqual([1, ""]);
      expect(stderr).toMatch(`: ${reason}. [file_not_written]`);
    }
  });
});

it("a chat knows /help, /quit, /exit and /bye", async () => {
  const template = join(folder, "template.jinja");
  await writeFile(template, "{{ messages[0].content }}");
  const chat = ["chat", "--chat-template", template, "--max-tokens", "2", "--threads", "1"];
  for (const word of ["/quit", "/exit", "/bye"]) {
    const { exitCode, stdout } = await run(chat, { stdin: `/help\n${word}\nTom\n` });
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^\/system TEXT .*\n\/reset .*\n(.*\n)+Ctrl-C .*\n$/);
    expectNarrow(stdout.split("\n"));
  }
});
