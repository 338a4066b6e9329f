import { describe, expect, test } from "vitest";
import { seededRandom } from "../../test/seeded-random.js";
import { GrammarStates } from "../grammar/grammar-state.js";
import { SCHEMA_LIMITS } from "../grammar/json-schema/schema-limits.js";
import { TokenMasks } from "../grammar/token-mask.js";
import { tokenBytes } from "../grammar/token-trie.js";
import { tokenVocabulary } from "../grammar/token-vocabulary.js";
import { callGrammar } from "./call-grammar.js";
import { commonAutomata } from "./common-automata.js";

const encoder = new TextEncoder();
const marker = { text: "<tool_call>", token: null };
const random = seededRandom(7);
const letter = () => String.fromCharCode(97 + Math.floor(random() * 26));
const words = Array.from({ length: 4000 }, () => Array.from({ length: 1 + random() * 7 }, letter).join(""));
const tokens = tokenBytes([...words, "<", ">", "\n", "/", "=", "_", "é"].map((text) => encoder.encode(text)));

/** Masks of a set of tools that was never met, after some text: which are there within a part of a walk through the tree. */
function isQuick(
  vocabulary: ReturnType<typeof tokenVocabulary>,
  name: string,
  type: unknown,
  texts: readonly string[],
): readonly boolean[] {
  const parameters = JSON.stringify({
    type: "object",
    properties: { [name]: { type } },
    required: [name],
    additionalProperties: false,
  });
  const states = new GrammarStates(
    callGrammar(
      {
        format: { name: "qwen3-coder", begin: marker, end: { text: "</tool_call>", token: null } },
        tools: [{ name: `tool_${name}`, parameters }],
        choice: "auto",
        parallel: true,
      },
      SCHEMA_LIMITS,
    ),
  );
  const { trie, reaches } = vocabulary;
  const masks = new TokenMasks(states, trie, reaches);
  return texts.map((text) => {
    const state = states.advance(states.first, encoder.encode(text));
    if (state === null) throw new Error(`not a text: ${text}`);
    return masks.mask(state, trie.byte.length / 10) !== null;
  });
}

describe("masks of sets of tools that were never met", () => {
  const ready = tokenVocabulary(tokens, commonAutomata([marker]));
  const bare = tokenVocabulary(tokens);
  const free = ["", "abc", "abc\n<tool"];
  const inText = (name: string) =>
    ["", "a", "a\n</para", "é"].map(
      (text) => `x<tool_call>\n<function=tool_${name}>\n<parameter=${name}>\n${text}`,
    );

  test("free text and arguments that are any text walk no tree: that was done for the vocabulary", () => {
    for (const name of ["path", "query"]) {
      expect(isQuick(ready, name, "string", [...free, ...inText(name)])).not.toContain(false);
      expect(isQuick(bare, name, "string", [free[0]!, inText(name)[0]!])).toEqual([false, false]);
    }
  });

  test("of another automaton the first state walks it, and others what they do not reach alike", () => {
    const [first, ...others] = inText("note");
    const both = ["string", "null"];
    expect(isQuick(ready, "note", both, [first!, first!, first!])).toEqual([false, false, false]);
    const patient = [...Array.from({ length: 12 }, () => first!), ...others];
    const quick = isQuick(ready, "note", both, patient);
    expect(quick.slice(-others.length)).not.toContain(false);
    expect(quick[0]).toBe(false);
  });
});
