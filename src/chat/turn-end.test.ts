/** The token with which a template ends an answer. */
import { expect, test } from "vitest";
import { textTokenizer } from "../../test/text-tokenizer.js";
import { ChatTemplate } from "./chat-template-engine.js";

const SPECIALS = ["<user>", "<assistant>", "<end>", "</s>"];
const ends = (source: string) =>
  new ChatTemplate(source, textTokenizer(SPECIALS), { deadlineMs: 5000, contextLength: 1000 }).turnEnds();
const turns = (line: string) => `{% for m in messages %}${line}{% endfor %}`;

test.each([
  ["behind the answer", turns("<{{ m.role }}>{{ m.content }}<end>\n"), ["<end>"]],
  ["behind white space", turns("<{{ m.role }}>{{ m.content }} \n </s>"), ["</s>"]],
  ["behind a trimmed answer", turns("<{{ m.role }}>{{ m.content | trim }}<end>"), ["<end>"]],
  ["the first of two", turns("{{ m.content }}<end></s>"), ["<end>"]],
  ["nothing there", turns("<{{ m.role }}>{{ m.content }}"), []],
  ["words before it", turns("{{ m.content }}. <end>"), []],
  ["special only in words", turns("{{ m.content }}<stop>"), []],
  ["an answer that is left out", turns("{% if m.role == 'user' %}{{ m.content }}<end>{% endif %}"), []],
  ["a template that refuses", "{{ raise_exception('No.') }}", []],
  ["a template that fails", "{{ 1 + 'a' }}", []],
])("%s", async (_, source, expected) => {
  expect((await ends(source)).map((id) => SPECIALS[id])).toEqual(expected);
});
