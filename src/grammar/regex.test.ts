import { describe, expect, test } from "vitest";
import {
  accepts,
  compiled,
  expectPatternsAsRegExp,
  stateAfter,
} from "../../test/grammars/random-patterns.js";
import { type Encoding, jsonString, utf8 } from "./code-points.js";

const ENCODINGS: readonly (readonly [string, Encoding, (text: string) => string])[] = [
  ["utf-8", utf8, (text) => text],
  ["json", jsonString, (text) => JSON.stringify(text).slice(1, -1)],
];

// What zod 4 writes for email, uuid and iso.datetime is among them.
const PATTERNS = [
  "^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_'+\\-\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\-]*\\.)+[A-Za-z]{2,}$",
  "^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}|0{8}-0{4}-0{4}-0{4}-0{12})$",
  "^(?:(?:\\d\\d[2468][048]|\\d\\d[13579][26]|\\d\\d0[48]|[02468][048]00|[13579][26]00)-02-29|\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|(?:02)-(?:0[1-9]|1\\d|2[0-8])))T(?:(?:[01]\\d|2[0-3]):[0-5]\\d(?::[0-5]\\d(?:\\.\\d+)?)?(?:Z))$",
  ...[
    "",
    "^$",
    ".",
    "é+",
    "foo|^bar",
    "^(foo|bar$)",
    "a{2,5}b$",
    "^a?$",
    "^a{0}b",
    "x(?=y)",
    "x(?!y)",
    "^(?=.*a)(?=.*b)",
  ],
  ...[
    "(a|b)*abb",
    "^(a|b(?!c)).$",
    "^(?:(?!ab).){2,6}$",
    "^\\s\\S\\w\\W\\d\\D$",
    "[^]",
    "^[^a-c\\d]$",
    "[\\]\\-a]$",
    "^[\\b]$",
  ],
  ...[
    "\\u{1F600}|[\\u4e00-\\u9fff]{2}",
    "\\ud83d\\ude00",
    "^[\\x41-\\u0043]$",
    "^\\cJ\\t\\0$",
    "(?<year>\\d{4})-\\d",
    "^a*?b+?c??$",
  ],
];

const TEXTS = [
  ...[
    "",
    "a",
    "b",
    "foo",
    "xfoox",
    "bar",
    "xbar",
    "aab",
    "aabx",
    "aaaaaab",
    "xy",
    "xz",
    "x",
    "éé",
    "aabb",
    "abb",
    "\n",
    "😀",
    "中文",
  ],
  ...[
    "a.b@c.de",
    ".a@c.de",
    "a..b@c.de",
    "a@b@x",
    "2024-02-29T10:00Z",
    "2023-02-29T10:00Z",
    "2023-02-28T10:00:01.5Z",
  ],
  ...[
    "00000000-0000-0000-0000-000000000000",
    "12345678-1234-4234-8234-123456789abc",
    "bx",
    "bc",
    "ac",
    '"',
    "\\",
    "\b",
    "abc",
  ],
  ...["\n\t\0", "1999-1", " aa-1b", "\u2028aa-1b", "-", "]", "A", "D", "ba", "\u007f", "\uffff"],
];

describe.each(ENCODINGS)("a pattern's automaton, %s", (_, encoding, write) => {
  test.each(PATTERNS)("accepts what RegExp finds: %s", (pattern) => {
    const dfa = compiled(encoding, pattern);
    const expected = new RegExp(pattern, "u");
    for (const text of TEXTS) expect([text, accepts(dfa, write(text))]).toEqual([text, expected.test(text)]);
  });
});

test("random patterns accept what RegExp finds", () => {
  expectPatternsAsRegExp(100);
});

test("a whole match is one from end to end", () => {
  const dfa = compiled(utf8, "a|ab|^c$", true);
  expect(["a", "ab", "c", "abx", "xa", ""].map((text) => accepts(dfa, text))).toEqual([
    true,
    true,
    true,
    false,
    false,
    false,
  ]);
});

test("every state that is kept leads to an accepted text", () => {
  expect(compiled(utf8, "a(?!b)b")).toBeNull();
  const dfa = compiled(utf8, "^(?:ab|ac(?=d))$");
  expect(dfa === null ? 0 : stateAfter(dfa, [97, 99])).toBe(-1);
});

test.each([
  ["(", "without its `)`"],
  [")", "without its `(`"],
  ["[a", "without its `]`"],
  ["a{2", "begins no count"],
  ["a{3,2}", "below its begin"],
  ["a{20000}", "above 10000"],
  ["*a", "nothing to repeat"],
  ["(?<=a)b", "look-behind"],
  ["(a)\\1", "back reference"],
  ["\\bword", "word boundary"],
  ["\\p{L}", "property of Unicode"],
  ["[b-a]", "in order"],
  ["a\\", "at the end"],
  ["\\u{110000}", "U+10FFFF"],
  ["(?i:a)", "kind of group"],
  ["(?:^a)*", "without end"],
  ["a?^b", "may be empty"],
  ["(".repeat(100), "within each other"],
  ["a".repeat(9000), "at most 8192"],
  ["(?:a{0,500}b{0,500}){200}", "too much work|more than"],
])("%s is refused", (source, sentence) => {
  expect(() => compiled(utf8, source, false, 20_000)).toThrow(
    new RegExp(sentence.replace(/[.*+?^${}()[\]\\]/g, "\\$&")),
  );
});

test("a repetition of a repetition counts the outer one", () => {
  const dfa = compiled(utf8, "(?:a+){3,}", true);
  expect(["a", "aa", "aaa", "aaaaa"].map((text) => accepts(dfa, text))).toEqual([false, false, true, true]);
});
