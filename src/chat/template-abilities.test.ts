/** What published templates let their models do. */
import { expect, test } from "vitest";
import { publishedTemplate } from "../../test/chat-model.js";
import { templateAbilities } from "./template-abilities.js";

test.each([
  ["published/Qwen-Qwen3-0.6B", "hermes", true, "enable_thinking"],
  ["published/HuggingFaceTB-SmolLM3-3B", "smollm3", true, "enable_thinking"],
  ["published/ibm-granite-granite-3.3-2B-Instruct", "granite", true, "thinking"],
  ["published/deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", null, true, "enable_thinking"],
  ["published/Qwen-Qwen2.5-7B-Instruct", "hermes", false, null],
  ["chatml", null, false, null],
])("%s", (template, callFormat, thinks, thoughtSwitch) => {
  const source = publishedTemplate(template);
  expect(templateAbilities(source)).toEqual({
    ...{ callFormat, thinks, thoughtSwitch },
    knowsEffort: false,
  });
});

test("a model may think whatever it is told", () => {
  expect(templateAbilities("{{ m.content.split('</think>')[-1] }}<think>")).toMatchObject({
    ...{ thinks: true, thoughtSwitch: null },
  });
});

test("a variable is one that a tag reads, not a field, a text or what the template writes", () => {
  const knows = (source: string) => templateAbilities(source).knowsEffort;
  expect(knows("{%- if reasoning_effort is defined %}")).toBe(true);
  expect(knows("{% if m.reasoning_effort or 'reasoning_effort' in m %}{% endif %} reasoning_effort")).toBe(
    false,
  );
});
