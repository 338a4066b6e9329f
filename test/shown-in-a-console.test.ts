/** What a console shows of the objects that a program holds: what they are, and what they are at. */
import { inspect } from "node:util";
import { expect, test } from "vitest";
import { load } from "../src/index.js";
import { modelFolders } from "./fixture-models.js";

test("a generation says what it is at", async () => {
  await using lm = await load(modelFolders.tiny, { threads: 1 });
  const generation = lm.generate([1, 2], { maxTokens: 3, n: 2 });
  const shown = (state: string) =>
    `Generation { ${state}, promptTokens: 2, maxTokens: 3, n: 2 }: iterate over it, or await its result()`;
  expect(inspect(generation)).toBe(shown("not started"));
  const result = generation.result();
  expect(inspect(generation)).toBe(shown("running"));
  await result;
  expect(inspect({ generation })).toContain(shown("ended"));
  const failing = lm.generate([1], { maxTokens: 1 });
  await lm.dispose();
  await failing.result().catch(() => undefined);
  expect(inspect(failing)).toMatch(/^Generation \{ failed, promptTokens: 1, maxTokens: 1 \}/);
});

test("a sequence and a conversation say what they hold", async () => {
  await using lm = await load(undefined, { threads: 1 });
  const sequence = await lm.sequence("Once upon a time");
  const held = "length: 5, numCachedTokens: 0, logits: Float32Array(2048) }";
  expect(inspect(sequence)).toBe(`Sequence { ${held}`);
  await sequence.dispose();
  expect(inspect(sequence)).toBe(`Sequence { disposed, ${held}`);

  const chat = await lm.chat([{ role: "user", content: "Hello" }], {
    template: "{% for message in messages %}{{ message.content }} {% endfor %}",
  });
  expect(inspect(chat)).toBe("Conversation { messages: 1 }");
  const answer = chat.reply("Tom", { maxTokens: 1 }).result();
  expect(inspect(chat)).toBe("Conversation { answering, messages: 1 }");
  await answer;
  await chat.dispose();
  expect(inspect(chat)).toBe("Conversation { disposed, messages: 3 }");
});
