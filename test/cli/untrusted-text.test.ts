/** Names, paths, prompts, tokens and errors that hold control characters: none reaches a terminal as it is. */
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { modelFolders } from "../fixture-models.js";
import { run } from "./captured-io.js";

/** A title, an erased screen, a colour by C1, a text that runs backwards. */
const HOSTILE = "x\u001b]0;owned\u0007\u001b[2J\u009b31m\u202egnp.exe\u2066\u2028";
const ESCAPE = "\u001b";
/** What our own colours and bars send. */
const OWN = new RegExp(`${ESCAPE}(?:[78]|\\[(?:[\\d;]*[mKGA]|\\?(?:7|25|2026)[hl]))`, "g");
const UNSAFE = /(?![\n\t])\p{Cc}|[\u2028-\u202e\u2066-\u206f]/u;

let folder: string;
let model: string;
let broken: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-hostile-"));
  model = join(folder, `m${HOSTILE}`);
  await cp(modelFolders.stories, model, { recursive: true });
  await writeFile(join(model, "chat_template.jinja"), `{{ raise_exception(${JSON.stringify(HOSTILE)}) }}`);
  broken = join(folder, `b${HOSTILE}`);
  await mkdir(broken);
  await writeFile(join(broken, "config.json"), JSON.stringify({ model_type: HOSTILE }));
});
afterAll(() => rm(folder, { recursive: true }));

describe("a terminal is not told what to do", () => {
  it.each<[string, () => string[]]>([
    ["generate", () => ["generate", HOSTILE, "--model", model, "--max-tokens", "4"]],
    ["generate --n", () => ["generate", HOSTILE, "--model", model, "--max-tokens", "4", "--n", "2"]],
    ["generate --json", () => ["generate", HOSTILE, "--model", model, "--max-tokens", "4", "--json"]],
    [
      "generate --save",
      () => ["generate", "a", "--model", model, "--max-tokens", "1", "--save", join(folder, HOSTILE)],
    ],
    ["generate --restore", () => ["generate", "a", "--restore", join(folder, `no${HOSTILE}`)]],
    ["compare", () => ["compare", HOSTILE, "--model", model, "--max-tokens", "4"]],
    ["compare --plot", () => ["compare", "a", "--max-tokens", "4", "--plot", join(folder, `${HOSTILE}.svg`)]],
    ["explain", () => ["explain", HOSTILE, "--model", model, "--max-tokens", "4"]],
    ["explain --svg", () => ["explain", "a", "--max-tokens", "4", "--svg", join(folder, `f${HOSTILE}`)]],
    ["logits", () => ["logits", HOSTILE, "--model", model, "--all"]],
    ["inspect", () => ["inspect", "--model", model, "--tensors"]],
    ["inspect --json", () => ["inspect", "--model", model, "--json"]],
    ["tokenize", () => ["tokenize", HOSTILE, "--model", model]],
    ["tokenize --json", () => ["tokenize", HOSTILE, "--model", model, "--json"]],
    ["perplexity", () => ["perplexity", join(model, "config.json"), "--model", model]],
    ["perplexity of no file", () => ["perplexity", join(folder, `no${HOSTILE}`)]],
    ["cache", () => ["cache", HOSTILE, `${HOSTILE}b`, "--model", model, "--max-tokens", "4"]],
    ["chat", () => ["chat", "--model", model, "--max-tokens", "4"]],
    ["a broken model", () => ["generate", "a", "--model", broken]],
    ["a broken model and --debug", () => ["generate", "a", "--model", broken, "--debug"]],
    ["a model that is not there", () => ["generate", "a", "--model", join(folder, `no${HOSTILE}`)]],
    ["an unknown option", () => ["generate", `--${HOSTILE}`]],
    ["an unknown command", () => [HOSTILE]],
    ["keys that cannot be read", () => ["serve", "--api-keys", join(folder, `no${HOSTILE}`)]],
  ])("by %s", async (_, args) => {
    const { stdout, stderr } = await run(args(), { isTerminal: true, stdin: "Hello\n" });
    expect(stdout + stderr).not.toBe("");
    expect(stdout.replace(OWN, "")).not.toMatch(UNSAFE);
    expect(stderr.replace(OWN, "")).not.toMatch(UNSAFE);
  });
});
