/** `lastrow chat` at a terminal that a test types at, and out of a pipe, with a small random model that has thoughts. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type ChatMessage, type LanguageModel, load, type ReplyResult } from "../../src/index.js";
import { printable } from "../../src/printable.js";
import { chatModelFiles, publishedTemplate } from "../chat-model.js";
import { type CapturedOptions, run } from "./captured-io.js";
import { TypedTerminal } from "./typed-terminal.js";

const made = chatModelFiles({
  template: publishedTemplate("published/deepseek-ai-DeepSeek-R1-Distill-Qwen-32B"),
  specials: ["<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"],
  added: ["<think>", "</think>"],
});
const END_OF_THOUGHTS = made.idOf("</think>");
const VARIABLES = { enable_thinking: true };
/** Thoughts end soon, and the answer does not before it has to. */
const BIAS = {
  [END_OF_THOUGHTS]: 5,
  [made.idOf("<｜end▁of▁sentence｜>")]: Number.NEGATIVE_INFINITY,
  0: -1000,
};
const SAMPLING = { seed: 7, temperature: 1, maxTokens: 24, logitBias: BIAS };

let folder: string;
let lm: LanguageModel;
let args: readonly string[];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-chat-"));
  for (const [file, bytes] of Object.entries(made.files)) await writeFile(join(folder, file), bytes);
  lm = await load(folder, { threads: 1, worker: false });
  const bias = Object.entries(BIAS).map(([id, value]) => `${id}=${value === -Infinity ? "-inf" : value}`);
  args = [
    ...["chat", "--model", folder, "--threads", "1", "--var", "enable_thinking=true"],
    ...["--seed", "7", "--temperature", "1", "--max-tokens", "24", "--logit-bias", bias.join(",")],
  ];
});
afterAll(async () => {
  await lm.dispose();
  await rm(folder, { recursive: true });
});

const file = (name: string) => join(folder, name);
const saved = async (name: string): Promise<ChatMessage[]> =>
  JSON.parse(await readFile(file(name), "utf8")).messages;

/** A chat with the model, at a terminal. */
const atTerminal = (more: readonly string[] = [], options: CapturedOptions = {}) =>
  new TypedTerminal([...args, ...more], options);

const [DIM, NOT_DIM] = ["\u001b[2m", "\u001b[22m"];
const words = (text: string) =>
  text
    .replace(/\p{Cc}/gu, " ")
    .split(/\s+/)
    .filter(Boolean)
    .join(" ");

function summaryOf({
  numCachedTokens,
  promptTokens,
  numRefedTokens,
  tokens,
  ...result
}: ReplyResult): string {
  const again = numRefedTokens > 0 ? `, ${numRefedTokens} fed again` : "";
  return `${numCachedTokens} of ${promptTokens} prompt tokens from the cache${again} · ${tokens.length} tokens, ${result.numReasoningTokens} of them thoughts · `;
}

test("thoughts are shown dim and apart, and below each answer what it took", async () => {
  await using own = await lm.chat([], { templateVariables: VARIABLES });
  const terminal = await atTerminal([], { env: { TERM: "xterm" } }).begin();
  const asked = ["Once upon a time there was a little dog", "And then? What did the dog do in the park?"];
  for (const [turn, message] of asked.entries()) {
    const answer = await own.reply(message, SAMPLING).result();
    terminal.type(`${message}\r`);
    await vi.waitFor(() => expect(terminal.shown).toMatch(/prompt\s+tokens\s+from[^>]*> $/), {
      timeout: 30_000,
    });
    const { raw } = terminal;
    const shown = words(await terminal.until(/> $/));
    const printed = (text: string) => words(printable(text));
    expect(answer.reasoning).not.toBe("");
    expect(shown).toContain(
      `Thinking… ${printed(answer.reasoning!)} … done thinking. ${printed(answer.text)}`,
    );
    expect(shown).toContain(summaryOf(answer));
    if (turn === 1) expect(answer.numRefedTokens).toBeGreaterThan(0);
    // All of the thoughts is dim, and nothing of the text.
    const thoughts = raw.slice(raw.lastIndexOf("Thinking…"), raw.lastIndexOf(`${DIM}done`));
    const [first, ...dim] = thoughts.split(DIM);
    const plain = dim.map((part) => part.slice(part.indexOf(NOT_DIM) + NOT_DIM.length));
    expect(words(stripVTControlCharacters(first + plain.slice(0, -1).join("")))).toBe("Thinking…");
  }
  expect(await terminal.end()).toBe(0);
});

test("without colours, in 30 columns, nothing is wider and nothing but the line editor's codes is written", async () => {
  const terminal = await atTerminal([], { env: { NO_COLOR: "1" }, columns: 30 }).begin();
  terminal.type("Tom had a red ball\r");
  await vi.waitFor(() => expect(terminal.shown).toMatch(/prompt\s+tokens\s+from[^>]*> $/), {
    timeout: 30_000,
  });
  for (const code of [DIM, NOT_DIM, "\u001b[1m"]) expect(terminal.raw).not.toContain(code);
  // Words stay whole: a random model's may be long.
  const lines = (await terminal.until(/> $/)).split("\n");
  for (const line of lines) if (/ /.test(line)) expect(line.length, line).toBeLessThanOrEqual(30);
  expect(await terminal.end()).toBe(0);
});

test("a message has several lines by backslash, by fence and by paste", async () => {
  const terminal = await atTerminal(["--max-tokens", "2"]).begin();
  terminal.type("one\\\r");
  await terminal.until(/\. $/);
  await terminal.say("two");
  terminal.type('"""\rthree \\\r\r"four"\r');
  await terminal.until(/four"\s*\. $/);
  await terminal.say('"""');
  await terminal.say('"""five"""');
  terminal.type("\x1b[200~six\rseven\\\reight\x1b[201~");
  await terminal.until(/eight/);
  await terminal.say("!");
  await terminal.say('"""/quit"""');
  // One that is left in the middle is not sent.
  terminal.type("left\\\r");
  await terminal.until(/\. $/);
  terminal.type("\x03");
  await terminal.until(/> $/);
  terminal.type(`/save ${file("lines.json")}\r`);
  await terminal.until(/Saved: 10 messages.*> $/s);
  terminal.type('"""left, too\r');
  await terminal.until(/\. $/);
  expect(await terminal.end()).toBe(0);
  expect(terminal.shown).not.toContain("Thinking");
  const said = (await saved("lines.json")).filter(({ role }) => role === "user");
  expect(said.map(({ content }) => content)).toEqual([
    ...["one\ntwo", 'three \\\n\n"four"', "five", "six\nseven\\\neight!", "/quit"],
  ]);
});

test("the line editor: history, the beginning of the line, tabs for commands", async () => {
  const terminal = await atTerminal(["--max-tokens", "1"]).begin();
  // Key by key: what comes at once goes to the end of the line.
  for (const key of ["ello", "\x01", "H"]) terminal.type(key);
  await terminal.say("");
  for (const key of ["\x1b[A", " again"]) terminal.type(key);
  await terminal.say("");
  for (const keys of ["/sa", "\t", ` ${file("edited.json")}\r`]) terminal.type(keys);
  await terminal.until(/Saved.*> $/s);
  for (const keys of ["/re", "\t", "\t"]) terminal.type(keys);
  await terminal.until(/\/reset\s+\/retry/);
  terminal.type("\x03");
  await terminal.until(/> $/);
  expect(await terminal.end()).toBe(0);
  const said = (await saved("edited.json")).filter(({ role }) => role === "user");
  expect(said.map(({ content }) => content)).toEqual(["Hello", "Hello again"]);
});

describe("ctrl-C", () => {
  test("stops an answer and not the chat; what was typed meanwhile comes next", async () => {
    const terminal = await atTerminal(["--max-tokens", "400"]).begin();
    terminal.typeAt(/done thinking\.\s+\S+\s/, "typed ahead\r\x03");
    // Whether it thinks again depends on where it was stopped.
    terminal.typeAt(/stopped\s+> typed ahead\n(?:Thinking.*done thinking\.)?\s*(?!Thinking)\S+\s/s, "\x03");
    terminal.type("Tell me all\r");
    const rest = await terminal.until(/stopped\s+> typed ahead\n/);
    // Nothing of it was shown before.
    expect(rest.match(/typed ahead/g)).toHaveLength(1);
    await terminal.until(/stopped\s+> $/);
    terminal.type(`/save ${file("stopped.json")}\r`);
    await terminal.until(/Saved: 4 messages.*> $/s);
    expect(await terminal.end()).toBe(0);
  });

  test("twice in a row ends the chat; on a line it clears the line", async () => {
    const terminal = await atTerminal().begin();
    terminal.type("half a\x03");
    await terminal.until(/> $/);
    terminal.type("\x03");
    await terminal.until(/Ctrl-C again, or ctrl-D, ends the chat\.\s+> $/);
    await terminal.say("Hello");
    terminal.type("\x03");
    await terminal.until(/again.*> $/s);
    terminal.type("\x03");
    expect(await terminal.exitCode).toBe(130);
    const answering = await atTerminal(["--max-tokens", "400"]).begin();
    answering.type("Tell me all\r");
    await answering.until(/Thinking/);
    answering.type("\x03\x03");
    expect(await answering.exitCode).toBe(130);
  });
});

describe("commands", () => {
  test("/system, /retry and /reset", async () => {
    const terminal = await atTerminal(["--system", "Be kind."]).begin();
    await terminal.say("Hello");
    await terminal.say("/retry");
    terminal.type(`/save ${file("retried.json")}\r`);
    await terminal.until(/Saved: 3 messages.*> $/s);
    await using own = await lm.chat([{ role: "system", content: "Be kind." }], {
      templateVariables: VARIABLES,
    });
    const expected = await own.reply("Hello", { ...SAMPLING, seed: 8 }).result();
    expect((await saved("retried.json"))[2]).toEqual({
      ...{ role: "assistant", content: expected.text, reasoning_content: expected.reasoning },
    });
    terminal.type("/system\r");
    expect(await terminal.until(/> $/)).toContain("Be kind.");
    terminal.type("/system Be short.\r");
    await terminal.until(/system message now.*> $/s);
    await terminal.say("And?");
    terminal.type("/reset\r");
    await terminal.until(/new conversation.*> $/s);
    terminal.type(`/save ${file("reset.json")}\r`);
    await terminal.until(/Saved: 1 message.*> $/s);
    expect(await saved("reset.json")).toEqual([{ role: "system", content: "Be short." }]);
    terminal.type('/system ""\r/system\r/retry\r/nope\r');
    const told = await terminal.until(/nope is no command/);
    expect(told).toMatch(
      /No system message from here on[\s\S]*There is no system message[\s\S]*Nothing was said yet/,
    );
    expect(await terminal.end()).toBe(0);
  });

  test("/save and /load: the same answer, its beginning found in the cache", async () => {
    const here = await atTerminal().begin();
    await here.say("Once upon a time there was a little dog, and a cat, and a bird in a tree");
    here.type(`/save ${file("talk.json")}\r`);
    await here.until(/Saved: 2 messages, and their keys and values.*> $/s);
    const next = await here.say("And then?");
    expect(await here.end()).toBe(0);
    const told = (text: string) =>
      words(text.slice(text.indexOf("Thinking"))).replace(/ · [\d,.]+ tokens\/s.*/, "");

    const there = await atTerminal().begin();
    there.type(`/load ${file("talk.json")}\r`);
    await there.until(/Loaded: 2 messages; \d+ tokens of it are in the cache.*> $/s);
    const loaded = await there.say("And then?");
    const answer = (text: string) => told(text).replace(/\d+ of \d+ prompt.*cache(, \d+ fed again)?/, "");
    expect(answer(loaded)).toBe(answer(next));
    expect(Number(/(\d+) of \d+ prompt/.exec(loaded)![1])).toBeGreaterThanOrEqual(16);
    // A damaged file beside it costs time, and nothing else.
    const rows = file("talk.json.kv.safetensors");
    const bytes = await readFile(rows);
    bytes[bytes.length - 1] ^= 1;
    await writeFile(rows, bytes);
    expect(await there.end()).toBe(0);
    const damaged = await atTerminal().begin();
    damaged.type(`/load ${file("talk.json")}\r`);
    await damaged.until(/Loaded: 2 messages\.\s+Its keys and values are computed again:\s.*> $/s);
    expect(answer(await damaged.say("And then?"))).toBe(answer(next));
    expect(await damaged.end()).toBe(0);
  });

  test("calls of tools are loaded and saved, in OpenAI's form", async () => {
    const called = { id: "a", type: "function", function: { name: "f", arguments: '{"a":1}' } };
    const messages: object[] = [
      { role: "user", content: "Go." },
      { role: "assistant", content: null, tool_calls: [called] },
      { role: "tool", tool_call_id: "a", name: "f", content: "done" },
      { role: "assistant", content: "It is done." },
    ];
    await writeFile(file("called.json"), JSON.stringify({ lastrow_chat: 1, messages }));
    const terminal = await atTerminal().begin();
    terminal.type(`/load ${file("called.json")}\r`);
    await terminal.until(/Loaded: 4 messages.*> $/s);
    terminal.type(`/save ${file("again.json")}\r`);
    await terminal.until(/Saved: 4 messages.*> $/s);
    expect(await saved("again.json")).toEqual(messages.with(1, { ...messages[1], content: "" }));
    expect(await terminal.end()).toBe(0);
  });

  test("a file that is no conversation is refused, and neither loaded nor replaced", async () => {
    const bad = [
      ...["", "{", "null", "[]", "7", '{"messages":[]}', '{"lastrow_chat":2,"messages":[]}'],
      '{"lastrow_chat":1}',
      '{"lastrow_chat":1,"messages":[null]}',
      '{"lastrow_chat":1,"messages":[{"role":"root","content":"x"}]}',
      '{"lastrow_chat":1,"messages":[{"role":"user","content":7}]}',
      '{"lastrow_chat":1,"messages":[{"role":"assistant","content":"a","reasoning_content":{}}]}',
      '{"lastrow_chat":1,"messages":[{"role":"assistant","content":"a","tool_calls":[null]}]}',
      '{"lastrow_chat":1,"messages":[{"role":"assistant","content":"a","tool_calls":{}}]}',
      '{"lastrow_chat":1,"messages":[{"role":"tool","content":"a","tool_call_id":7}]}',
      `{"lastrow_chat":1,"messages":${"[".repeat(100_000)}`,
    ];
    const terminal = await atTerminal(["--max-tokens", "1"]).begin();
    await terminal.say("Hello");
    for (const [i, text] of bad.entries()) {
      await writeFile(file(`bad${i}`), text);
      terminal.type(`/load ${file(`bad${i}`)}\r`);
      expect(await terminal.until(/\[invalid_argument\]\s+> $/), text.slice(0, 80)).toMatch(/error: /);
    }
    for (const path of [file("none"), folder, "/dev/zero", ""]) {
      terminal.type(`/load ${path}\r`);
      await terminal.until(/\[invalid_argument\]\s+> $/);
    }
    for (const path of [file("bad1"), folder, "/dev/null"]) {
      terminal.type(`/save ${path}\r`);
      await terminal.until(/is no\s+conversation[\s\S]*\[file_not_written\]\s+> $/);
    }
    expect(await readFile(file("bad1"), "utf8")).toBe(bad[1]);
    terminal.type(`/save ${file("good.json")}\r`);
    await terminal.until(/Saved: 2 messages.*> $/s);
    expect(await terminal.end()).toBe(0);
  });
});

describe("a full context", () => {
  const long = `${"the dog ran ".repeat(40)}\n`;

  test("ends in words: a terminal goes on, a pipe ends with an error", async () => {
    const terminal = await atTerminal().begin();
    await terminal.say(long.trim());
    await terminal.say(long.trim());
    await terminal.say(long.trim());
    terminal.type(long.replace("\n", "\r"));
    const told = words(await terminal.until(/\[context_length_exceeded\]\s+> $/));
    expect(told).toMatch(
      /error: The conversation is too long for another answer: .* context is 512\. Begin a new one \(\/reset\), or let it drop its oldest turns \(--drop-oldest\)\./,
    );
    terminal.type("/reset\r");
    await terminal.until(/new conversation.*> $/s);
    await terminal.say("Hello");
    expect(await terminal.end()).toBe(0);
    const piped = await run(args, { stdin: long.repeat(5) });
    expect(piped.exitCode).toBe(1);
    expect(piped.stdout.trimEnd().split("\n").length).toBeGreaterThan(1);
    expect(piped.stderr).toMatch(/^error: The conversation is too long .*\[context_length_exceeded\]\n$/);
  });

  test("goes on without the oldest turns when that is asked for, and says so", async () => {
    const dropping = ["--drop-oldest", "--keep-system", "--system", "Be kind."];
    const terminal = await atTerminal(dropping).begin();
    let told = "";
    for (let i = 0; i < 5; i++) told += words(await terminal.say(`${i} ${long.trim()}`));
    expect(told).toMatch(
      /the \d+ oldest messages dropped · \d+ of \d+ prompt tokens from the cache, \d+ fed again/,
    );
    terminal.type("/system\r");
    expect(await terminal.until(/> $/)).toContain("Be kind.");
    expect(await terminal.end()).toBe(0);
    const alone = await run([...args, "--keep-system"], { stdin: "Hello\n" });
    expect(alone.stderr).toMatch(/--keep-system belongs to --drop-oldest; give it, too/);
  });
});

describe("out of a pipe", () => {
  test("each message's answer is a line, without its thoughts; commands are obeyed, a wrong one ends it", async () => {
    await using own = await lm.chat([], { templateVariables: VARIABLES });
    const first = await own.reply("Hello\nLily", SAMPLING).result();
    await own.setMessages([]);
    const second = await own.reply("Bye", SAMPLING).result();
    const { exitCode, stdout, stderr } = await run(args, {
      stdin: 'Hello\\\nLily\n\n/reset\n"""Bye"""\n',
    });
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(stdout).toBe(`${first.text}\n${second.text}\n`);
    const wrong = await run(args, { stdin: "/nope\nHello\n" });
    expect([wrong.exitCode, wrong.stdout]).toEqual([1, ""]);
    expect(wrong.stderr).toMatch(/^error: \/nope is no command; /);
    const refused = await run([...args, "--var", "messages=[]"], { stdin: "Hello\n" });
    expect(refused.stderr).toMatch(/^error: --var cannot set messages/);
  });

  test("--schema holds each answer to it, behind its thoughts", async () => {
    const schema = file("schema.json");
    await writeFile(schema, '{"type": "array", "items": {"enum": [1, 2]}, "minItems": 1, "maxItems": 3}');
    const held = [...args, "--max-tokens", "200", "--schema", schema, "--json"];
    const { exitCode, stdout } = await run(held, { stdin: "Hello\nAnd?" });
    expect(exitCode).toBe(0);
    const lines = stdout.trimEnd().split("\n");
    expect(lines).toHaveLength(2);
    for (const line of lines) {
      const { content, reasoning_content: reasoning, finishReason } = JSON.parse(line);
      expect([content, finishReason]).toEqual([expect.stringMatching(/^\[[12](,[12]){0,2}\]$/), "stop"]);
      expect(reasoning).not.toBe("");
    }
  });

  test("--json has all of it, a line for each answer", async () => {
    await using own = await lm.chat([], { templateVariables: VARIABLES });
    const { exitCode, stdout, stderr } = await run([...args, "--json"], { stdin: "/help\nHello\nAnd?" });
    expect(exitCode).toBe(0);
    expect(stderr).toMatch(/^\/system TEXT/);
    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines).toHaveLength(2);
    for (const [i, message] of ["Hello", "And?"].entries()) {
      const { text, reasoning, tokens, ...answer } = await own.reply(message, SAMPLING).result();
      const { numReasoningTokens, promptTokens, numRefedTokens, finishReason } = answer;
      expect(lines[i]).toMatchObject({
        ...{ role: "assistant", content: text, reasoning_content: reasoning, tokens },
        ...{ numReasoningTokens, promptTokens, numRefedTokens, finishReason, seed: 7 },
      });
    }
  });
});
