/** Messages of OpenAI's chats as templates get them: what clients call things in more than one way. */
import { expect, test } from "vitest";
import { chatPromptAsk } from "./openai-chat.js";

test("thoughts under either name, the older one first", () => {
  const [first, second, both, none] = chatPromptAsk({
    messages: [
      { role: "assistant", content: "a", reasoning_content: "x" },
      { role: "assistant", content: "a", reasoning: "y" },
      { role: "assistant", content: "a", reasoning_content: "x", reasoning: "y" },
      { role: "assistant", content: "a", reasoning_content: null, reasoning: null },
    ],
  }).messages;
  expect([first, second, both].map(({ reasoning }) => reasoning)).toEqual(["x", "y", "x"]);
  expect(none).toEqual({ role: "assistant", content: "a" });
});

test("what was said in refusing stands where nothing else was said", () => {
  const said = (message: { content?: string | null; refusal?: string | null }) =>
    chatPromptAsk({ messages: [{ role: "assistant", ...message }] }).messages[0].content;
  expect(said({ content: null, refusal: "No." })).toBe("No.");
  expect(said({ content: "", refusal: "No." })).toBe("No.");
  expect(said({ content: "Yes.", refusal: "No." })).toBe("Yes.");
  expect(said({ content: "Yes.", refusal: null })).toBe("Yes.");
  expect(said({})).toBe("");
});
