/** What takes a text apart stops at a million pieces, however it does it: a page's template has no heap of its own. */
import { expect, test } from "vitest";
import { Template } from "../../src/chat/jinja/template.js";

test.each([
  ["split at white space", "{{ ('a ' * n).split() | length }}"],
  ["split from the right", "{{ (',' * n).rsplit(',', n) | length }}"],
  ["split at white space from the right", "{{ ('a ' * n).rsplit(none, n) | length }}"],
  ["lines", "{{ ('\n' * n).splitlines() | length }}"],
  ["indented lines", "{{ ('\n' * n) | indent | length }}"],
  ["replaced", "{{ ('a' * n).replace('a', 'b') | length }}"],
  ["formatted", "{{ ('%%' * n) | format | length }}"],
  ["title", "{{ ('a ' * n) | title | length }}"],
])("a text of more than a million pieces is not taken apart: %s", (_, template) => {
  const source = template.replace(/\bn\b/g, "1048577");
  const end = performance.now() + 60_000;
  expect(() => new Template(source).render({ messages: [], variables: {}, end })).toThrow(
    "in more than 1048576 pieces",
  );
});
