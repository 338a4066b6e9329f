/** What goes wrong on the command line: one sentence on standard error, exit code 1, nothing on standard output. */
import { describe, expect, it } from "vitest";
import { modelFolders } from "../fixture-models.js";
import { run } from "./captured-io.js";

/** Runs what must fail, and gives back what it says. */
async function complaint(args: readonly string[], options?: Parameters<typeof run>[1]): Promise<string> {
  const { exitCode, stdout, stderr } = await run(args, options);
  expect({ args, exitCode, stdout }).toEqual({ args, exitCode: 1, stdout: "" });
  return stderr;
}

describe("wrong usage", () => {
  it.each<[string[], string]>([
    [
      ["generate", "--temprature", "1"],
      "error: Unknown option '--temprature'. Did you mean --temperature?\n",
    ],
    [["genrate"], "error: Unknown command 'genrate'. Did you mean generate?\n"],
    [["generate", "--xyzzy"], "error: Unknown option '--xyzzy'. --help lists what there is.\n"],
    [["compare", "--mode", "cached"], "error: Unknown option '--mode'."],
    [["logits", "--seed", "1"], "error: Unknown option '--seed'."],
    [["inspect", "--tokens", "1"], "error: Unknown option '--tokens'."],
    [["tokenize", "--kernels", "wasm"], "error: Unknown option '--kernels'."],
    [["generate", "Once", "upon"], "Put a prompt of several words into quotes.\n"],
    [["generate", "--model"], "error: Option '--model <model>' argument missing."],
    [["generate", "--temperature", "abc"], "argument 'abc' is invalid. It must be a number, such as 0.8.\n"],
    [["generate", "--temperature", "-1"], "error: --temperature is -1; it must be 0 (greedy) or"],
    [["generate", "--top-p", "2"], "error: --top-p is 2; it must be"],
    [["generate", "--top-k", "1.5"], "argument '1.5' is invalid. It must be a whole number of at least 0.\n"],
    [
      ["generate", "--max-tokens", "-3"],
      "argument '-3' is invalid. It must be a whole number of at least 0.\n",
    ],
    [["generate", "--seed", "9007199254740993"], "It must be at most 9007199254740991.\n"],
    [["generate", "--logprobs", "21"], "error: --logprobs is 21; it must be"],
    [["generate", "--logit-bias", "5"], "It must be a token id and a number, such as 42=-1.5,"],
    [["generate", "--logit-bias", "5=inf"], "It must be a token id and a number, such as 42=-1.5,"],
    [["generate", "--stop", ""], "It must have at least one character.\n"],
    [["generate", "--tokens", "1,x"], "It must be token ids with commas between them, such as 1,2,3.\n"],
    [["generate", "--tokens", ""], "It must be token ids with commas between them, such as 1,2,3.\n"],
    [["generate", "--tokens", "1,,2"], "It must be token ids with commas between them, such as 1,2,3.\n"],
    [
      ["generate", "Tom", "--tokens", "1"],
      "error: Give a prompt or --tokens, not both. [invalid_argument]\n",
    ],
    [["generate", "--mode", "fast"], "Allowed choices are cached, recompute.\n"],
    [["inspect", "--kernels", "gpu"], "Allowed choices are wasm, reference.\n"],
    [
      ["inspect", "--kv-memory", "lots"],
      "error: --kv-memory is a positive number of bytes or a size such as",
    ],
    [["inspect", "--token-budget", "0"], "It must be a whole number of at least 1.\n"],
    [
      ["inspect", "--token-budget", "99999"],
      "error: --token-budget is a whole number from 1 to 65536, not 99999.",
    ],
    [["logits", "Tom", "--top", "0"], "It must be a whole number of at least 1.\n"],
  ])("%j", async (args, sentence) => {
    const said = await complaint(args);
    expect(said).toContain(sentence);
    expect(said.trimEnd().split("\n")).toHaveLength(1);
  });
});

describe("failures", () => {
  it.each<[string[], string]>([
    [
      ["generate", "Tom", "--logit-bias", "2048=1"],
      "--logit-bias has the key 2048; keys must be token ids, 0 to 2047.",
    ],
    [["generate", "--tokens", "2048"], "Token 0 of the prompt is 2048; this model's ids are 0 to 2047."],
    [["tokenize", "--tokens", "2048"], "--tokens has 2048; this tokenizer's ids are 0 to 2047."],
    [["generate", "Tom", "--model", modelFolders.tiny], "[tokenizer_missing]"],
    [["tokenize", "Tom", "--model", modelFolders.tiny], "[tokenizer_missing]"],
    [["inspect", "--model", "./no-such-folder"], "[model_not_found]"],
    [
      ["inspect", "--context", "513"],
      "error: A context of 513 tokens is asked for, but this model was made for 512 at most.",
    ],
    [
      ["inspect", "--context", "2000000"],
      "error: --context is a whole number from 1 to 1048576, not 2000000.",
    ],
    [["inspect", "--kv-memory", "1"], "one KV block of this model takes 147456"],
  ])("%j", async (args, sentence) => {
    const said = await complaint(args);
    expect(said).toMatch(/^error: [^\n]+\[\w+\]\n$/);
    expect(said).toContain(sentence);
  });

  it("of options come before any model is opened", async () => {
    const args = ["--model", "./no-such-folder", "--top-p", "2"];
    expect(await complaint(["generate", ...args])).toContain("--top-p is 2");
    expect(await complaint(["compare", ...args])).toContain("--top-p is 2");
  });

  it("keep standard output empty with --json, too", async () => {
    expect(await complaint(["generate", "--tokens", "2048", "--json"])).toContain("[token_out_of_range]");
    expect(await complaint(["logits", "--tokens", "2048", "--json", "--all"])).toContain(
      "[token_out_of_range]",
    );
  });

  it("show the stack with --debug only", async () => {
    const args = ["generate", "--tokens", "2048"];
    expect(await complaint(args)).not.toMatch(/\n\s+at /);
    expect(await complaint([...args, "--debug"])).toMatch(/^error: Token 0[^\n]*\n[\s\S]*\n\s+at /);
  });

  it("refuse text that is not UTF-8", async () => {
    expect(await complaint(["generate"], { stdin: Uint8Array.of(0x54, 0xff) })).toBe(
      "error: Standard input is not valid UTF-8 text. [invalid_argument]\n",
    );
  });

  it("are coloured on a terminal only", async () => {
    expect(await complaint(["genrate"], { isTerminal: true })).toContain("\u001b[31merror:\u001b[39m");
    expect(await complaint(["genrate"], { isTerminal: true, env: { NO_COLOR: "1" } })).not.toContain(
      "\u001b",
    );
    expect(await complaint(["genrate"])).not.toContain("\u001b");
  });
});

describe("help", () => {
  const COMMANDS = [
    ...[
      "compare",
      "explain",
      "generate",
      "logits",
      "inspect",
      "tokenize",
      "perplexity",
      "embed",
      "cache",
      "bench",
    ],
    ...["chat", "serve", "models"],
  ];

  it("lists every command that is tested here", async () => {
    const [, list] = (await run(["--help"])).stdout.split("\nCommands:\n");
    const names = list.match(/^ {2}\w+/gm)?.map((name) => name.trim());
    expect(names?.sort()).toEqual([...COMMANDS].sort());
  });

  it.each(COMMANDS)("of %s has examples", async (command) => {
    const { exitCode, stdout, stderr } = await run([command, "--help"]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toContain(`Usage: lastrow ${command}`);
    expect(
      stdout.match(new RegExp(`\\n  .*lastrow ${command}.*\\n      \\S`, "g"))?.length,
    ).toBeGreaterThanOrEqual(2);
    expect(stdout).not.toContain("\u001b");
    for (const line of stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
  });

  it("lists the commands, also when there is none", async () => {
    const help = await run(["--help"]);
    expect(await run([])).toEqual(help);
  });

  it.each(COMMANDS)("of %s uses options that it has", async (command) => {
    const [options, examples] = (await run([command, "--help"])).stdout.split("\nExamples:\n");
    const used = examples.match(/(?<= )--[a-z-]+(?= )/g) ?? [];
    expect(used).not.toEqual([]);
    for (const option of used) expect(options).toMatch(new RegExp(`^  ${option} `, "m"));
  });
});
