/** Real templates, changed at random, over real conversations: whatever is wrong with one is a LastrowError, soon. */
import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { anyCharacter } from "../../test/any-text.js";
import { LastrowError } from "../errors.js";
import { ChatRenderer } from "./chat-renderer.js";
import type { ChatMessage } from "./chat-template.js";

const FOLDER = new URL("../../test/fixtures/chat-templates/", import.meta.url);
const PARTS = ["published/", ""]
  .flatMap((folder) =>
    readdirSync(new URL(folder, FOLDER))
      .filter((name) => name.endsWith(".jinja"))
      .map((name) => readFileSync(new URL(folder + name, FOLDER), "utf8")),
  )
  .map((source) => source.match(/\s+|\w+|\W/g) ?? []);

const change = fc.record({
  /** Where, as a part of the whole. */
  at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  length: fc.nat({ max: 3 }),
  put: fc.oneof(
    fc.constantFrom(
      "{%",
      "%}",
      "{{",
      "}}",
      "{#",
      "(",
      ")",
      "[",
      "]",
      "'",
      "|",
      ".",
      "-",
      "\\",
      "\n",
      "\u{1f642}",
    ),
    fc.constantFrom(
      "for",
      "endfor",
      "if",
      "endif",
      "else",
      "in",
      "is",
      "not",
      "set",
      "macro",
      "raw",
      "range",
      "~",
    ),
    fc.record({ of: fc.nat(), at: fc.nat() }),
  ),
});
const call = fc.record({
  id: fc.constantFrom("abcdefghi", "call_1"),
  name: fc.string({ maxLength: 5 }),
  arguments: fc.oneof(fc.json({ maxDepth: 2 }), fc.constantFrom('{"a":1.0,"b":[{}]}', "")),
});
const message = fc.oneof(
  fc.record({
    role: fc.constant("assistant"),
    content: fc.string({ maxLength: 5 }),
    toolCalls: fc.array(call, { maxLength: 2 }),
  }),
  fc.record({
    role: fc.constant("tool"),
    content: fc.string({ maxLength: 5 }),
    toolCallId: fc.constantFrom("abcdefghi", "call_1"),
  }),
  fc.record({
    role: fc.constantFrom("system", "developer", "user", "assistant"),
    content: fc.oneof(
      fc.string({ unit: anyCharacter, maxLength: 12 }),
      fc.constantFrom("<think>\nhm\n</think>\n\nHello.", "/no_think", "</think>", "<|im_end|>"),
      fc.array(fc.record({ type: fc.constant("text"), text: fc.string({ maxLength: 5 }) }), { maxLength: 3 }),
    ),
  }),
);
const TOOLS = [{ name: "f", description: "What <|im_end|> it does", parameters: { type: "object" } }];
const messages = fc.array(message, { minLength: 1, maxLength: 4 }) as fc.Arbitrary<readonly ChatMessage[]>;
const CODES = ["tokenizer_invalid", "invalid_argument", "chat_template_failed"];

test("changed templates are rendered, or fail as a template may", () => {
  let rendered = 0;
  let failed = 0;
  fc.assert(
    fc.property(
      fc.nat({ max: PARTS.length - 1 }),
      fc.array(change, { minLength: 1, maxLength: 3 }),
      messages,
      fc.boolean(),
      (of, changes, conversation, addGenerationPrompt) => {
        const parts = [...PARTS[of]];
        for (const { at, length, put } of changes) {
          const other = typeof put === "string" ? null : PARTS[put.of % PARTS.length];
          const text = other === null ? (put as string) : other[(put as { at: number }).at % other.length];
          parts.splice(Math.floor(at * parts.length), length, text);
        }
        try {
          const runs = new ChatRenderer(parts.join("")).render(conversation, {
            ...{ tools: addGenerationPrompt ? TOOLS : [] },
            ...{ addGenerationPrompt, namedTokens: { bos_token: "<s>", eos_token: "</s>" } },
            ...{ variables: { enable_thinking: addGenerationPrompt }, deadlineMs: 1000 },
          });
          // What a message says stays a message's.
          expect(runs.every(({ origin }) => origin >= 0 && origin <= conversation.length + 1)).toBe(true);
          rendered++;
        } catch (error) {
          expect(error).toBeInstanceOf(LastrowError);
          expect(CODES).toContain((error as LastrowError).code);
          expect((error as LastrowError).message).toMatch(/^[^\n]*\.$/);
          failed++;
        }
      },
    ),
    { numRuns: 700 },
  );
  expect(Math.min(rendered, failed)).toBeGreaterThan(50);
});
