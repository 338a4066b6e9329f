/** Thoughts apart from text: markers as tokens and spelled, cut anywhere, held against the whole answer looked at once. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { AnswerThoughts } from "../chat/thoughts.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { CallSplit } from "../tools/call-split.js";
import { EmittedText } from "./emitted-text.js";

/** The marker tokens, as single characters that nothing else has. */
const BEGIN = "\ue000";
const END = "\ue001";
const SPELLED = new Map([
  [BEGIN, "<think>"],
  [END, "</think>"],
]);
const shown = (text: string) => text.replace(/[\ue000\ue001]/g, (marker) => SPELLED.get(marker)!);

function markers(asTokens: boolean, isOpen: boolean): AnswerThoughts {
  const of = (marker: string) => ({
    text: shown(marker),
    token: asTokens ? marker.codePointAt(0)! : null,
  });
  return { begin: of(BEGIN), end: of(END), isOpen };
}

/** What an answer is, looked at as a whole. */
function expected(answer: string, begin: string, end: string, isOpen: boolean) {
  const opened = new RegExp(`^(\\s*${begin})${isOpen ? "*" : "+"}\\s*`).exec(answer);
  if (opened === null) return { reasoning: "", text: shown(answer) };
  const rest = answer.slice(opened[0].length);
  const at = rest.indexOf(end);
  if (at === -1) return { reasoning: shown(rest).trimEnd(), text: "" };
  return {
    reasoning: shown(rest.slice(0, at)).trimEnd(),
    text: shown(rest.slice(at + end.length).trimStart()),
  };
}

/** Characters are tokens; so what is cut off is cut between any two of them. */
function emit(tokens: readonly string[], thoughts: AnswerThoughts | null, stop: readonly string[] = []) {
  const stream = { push: (id: number) => shown(tokens[id] ?? String.fromCodePoint(id)), flush: () => "" };
  const tokenizer = { stream: () => stream, continues: () => false } as unknown as Tokenizer;
  const text = new EmittedText(tokenizer, [], { stop, thoughts, calls: null });
  const whole = { reasoning: "", text: "" };
  const add = (piece: { reasoning: string; text: string }) => {
    whole.reasoning += piece.reasoning;
    whole.text += piece.text;
  };
  for (const [i, token] of tokens.entries()) {
    add(text.push(SPELLED.has(token) && thoughts?.begin.token !== null ? token.codePointAt(0)! : i));
    if (text.stopped) break;
  }
  add(text.flush());
  expect(text.whole).toBe(whole.text);
  if (thoughts !== null) expect(text.thoughts!.reasoning).toBe(whole.reasoning);
  return { ...whole, numTokens: text.thoughts?.numTokens ?? 0, stopped: text.stopped };
}

const fragment = fc.constantFrom(
  "\n",
  " ",
  "a",
  "b",
  "<",
  "</",
  "think>",
  "<think>",
  "</think>",
  "🙂",
  BEGIN,
  END,
);
const fragments = fc.array(fragment, { maxLength: 12 });

test("thoughts and text are those of the whole answer, however it is cut into tokens", () => {
  fc.assert(
    fc.property(fragments, fc.boolean(), fc.array(fc.nat(9), { minLength: 1 }), (parts, isOpen, cuts) => {
      const spelled = shown(parts.join(""));
      const characters = [...spelled];
      const tokens: string[] = [];
      for (let i = 0; characters.length > 0; i++)
        tokens.push(characters.splice(0, cuts[i % cuts.length] + 1).join(""));
      const { reasoning, text, numTokens } = emit(tokens, markers(false, isOpen));
      const whole = expected(spelled, "<think>", "</think>", isOpen);
      expect({ reasoning, text }).toEqual(whole);
      // Its tokens are the least beginning behind which no more comes of thoughts.
      if (!isOpen && !/^\s*<think>/.test(spelled)) expect(numTokens).toBe(0);
      else {
        const before = tokens.slice(0, numTokens).join("");
        expect(expected(before, "<think>", "</think>", isOpen).reasoning).toBe(whole.reasoning);
        if (spelled.includes("</think>", spelled.search(/[^\s]/))) expect(numTokens).toBeGreaterThan(0);
      }
    }),
    // Twice the beginning, the second time whole; the end in the token in which the beginning ends.
    {
      numRuns: 400,
      examples: [
        [["<think>", BEGIN, "\n"], true, [2, 1, 0, 8, 0]],
        [[BEGIN, END], false, [0, 2, 0, 9]],
      ],
    },
  );
});

test("where the tokenizer has the markers as tokens, only these count, and what is spelled alike is text", () => {
  fc.assert(
    fc.property(fragments, fc.boolean(), (tokens, isOpen) => {
      const { reasoning, text, numTokens } = emit(tokens, markers(true, isOpen));
      expect({ reasoning, text }).toEqual(expected(tokens.join(""), BEGIN, END, isOpen));
      const end = tokens.indexOf(END);
      const hasThoughts = isOpen || new RegExp(`^\\s*${BEGIN}`).test(tokens.join(""));
      expect(numTokens).toBe(!hasThoughts ? 0 : end === -1 ? tokens.length : end + 1);
    }),
    { numRuns: 400 },
  );
});

test("a model without thoughts has none, whatever it writes", () => {
  const tokens = ["<think>", "a", "</think>", BEGIN, END];
  expect(emit(tokens, null)).toMatchObject({ reasoning: "", text: shown(tokens.join("")) });
});

test("stop strings count for nothing in thoughts, and end the text", () => {
  const tokens = [BEGIN, "a", "\n", "\n", "b", END, "\n", "\n", "c", "\n", "\n", "d"];
  const stopped = { reasoning: "a\n\nb", text: "c", numTokens: 6, stopped: true };
  expect(emit(tokens, markers(true, false), ["\n\n"])).toEqual(stopped);
  expect(emit(tokens.slice(1), markers(true, true), ["\n\n"])).toEqual({ ...stopped, numTokens: 5 });
  const spelled = [...shown(tokens.join(""))];
  expect(emit(spelled, markers(false, false), ["\n\n"])).toEqual({ ...stopped, numTokens: 19 });
  // The beginning of one, at the very end, is text.
  expect(emit([BEGIN, END, "c", "\n"], markers(true, false), ["\n\n"])).toMatchObject({ text: "c\n" });
});

test("an answer that is cut within its thoughts has no text; bytes before a marker are not lost", () => {
  expect(emit([BEGIN, "a", " ", "b", "\n"], markers(true, false))).toEqual({
    ...{ reasoning: "a b", text: "", numTokens: 5, stopped: false },
  });
  expect(emit([..."<think>a</th"], markers(false, false))).toMatchObject({ reasoning: "a</th", text: "" });
  let held = "";
  const stream = {
    push: (id: number) => {
      held = id === 0 ? "\ufffd" : held;
      return id === 0 ? "" : String.fromCodePoint(id);
    },
    flush: () => {
      const rest = held;
      held = "";
      return rest;
    },
  };
  const tokenizer = { stream: () => stream, continues: () => false } as unknown as Tokenizer;
  const options = { stop: [], thoughts: markers(true, true), calls: null };
  const text = new EmittedText(tokenizer, [], options);
  for (const id of [97, 0, END.codePointAt(0)!, 98]) text.push(id);
  expect([text.thoughts?.reasoning, text.whole]).toEqual(["a\ufffd", "b"]);
});

test("calls are told from the text behind the thoughts; within them there are none, and stop strings do not count in them", () => {
  const call = '<tool_call>\n{"name": "a", "arguments": {"s": "stop"}}\n</tool_call>';
  const format = {
    name: "hermes" as const,
    begin: { text: "<tool_call>", token: null },
    end: { text: "</tool_call>", token: null },
  };
  const list = '[{"name": "a", "arguments": {"s": "stop"}}]';
  const marked = { name: "granite" as const, begin: { text: "<|tool_call|>", token: 1 }, end: null };
  const stream = { push: (id: number) => (id === 1 ? "" : String.fromCodePoint(id)), flush: () => "" };
  const tokenizer = { stream: () => stream, continues: () => false } as unknown as Tokenizer;
  const read = (answer: string, calls: typeof format | typeof marked, isOpen: boolean) => {
    const text = new EmittedText(tokenizer, [], {
      ...{ stop: ["stop"], thoughts: markers(true, isOpen) },
      calls: () => new CallSplit(calls, [{ name: "a", typesOf: () => new Set() }]),
    });
    for (const character of answer) {
      text.push(character.codePointAt(0)!);
      if (text.stopped) break;
    }
    text.flush();
    const { thoughts, whole, stopped } = text;
    return [thoughts?.reasoning, whole, text.calls?.map((one) => one.arguments), stopped];
  };
  const wanted = '{"s": "stop"}';
  expect(read(`${call}${END}\n\n${call}`, format, true)).toEqual([call, "", [wanted], false]);
  expect(read(`${BEGIN}${call}${END}Hm. ${call}`, format, false)).toEqual([call, "Hm.", [wanted], false]);
  expect(read(`${call} stop ${call}`, format, false)).toEqual(["", "", [wanted], true]);
  expect(read(`\u0001 no ${END} \u0001${list}`, marked, true)).toEqual(["no", "", [wanted], false]);
  // A call is no thought, and none comes behind it.
  expect(read(` \u0001${list}${BEGIN}x`, marked, false)).toEqual(["", `${BEGIN}x`, [wanted], false]);
});

test("what may be the beginning of a stop string comes before the call that it stands before", () => {
  const format = {
    name: "hermes" as const,
    begin: { text: "<tool_call>", token: null },
    end: { text: "</tool_call>", token: null },
  };
  const stream = { push: (id: number) => String.fromCodePoint(id), flush: () => "" };
  const tokenizer = { stream: () => stream, continues: () => false } as unknown as Tokenizer;
  const call = '<tool_call>\n{"name": "a", "arguments": {}}\n</tool_call>';
  const told = (answer: string) => {
    const text = new EmittedText(tokenizer, [], {
      ...{ stop: ["no more", "b c"], thoughts: null },
      calls: () => new CallSplit(format, [{ name: "a", typesOf: () => new Set() }]),
    });
    const parts = [];
    for (const character of answer) {
      parts.push(text.push(character.codePointAt(0)!));
      if (text.stopped) break;
    }
    parts.push(text.flush());
    const shown = parts.flatMap(({ text, calls }) => [
      text,
      ...calls.map(({ id }) => (id === undefined ? "" : "!")),
    ]);
    return [shown.join(""), text.stopText];
  };
  expect(told(`It is no${call}`)).toEqual(["It is no!", null]);
  expect(told(`no${call} b${call} more`)).toEqual(["no! b! more", null]);
  // Calls are no text: what stands on both sides of one is not one text.
  expect(told(`a b${call} c`)).toEqual(["a b! c", null]);
  expect(told(`a${call} b c${call}`)).toEqual(["a! ", "b c"]);
});
