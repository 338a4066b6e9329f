/**
 * Chat templates rendered as transformers renders them, to the letter: those of published models, and single constructs
 * (fixtures/chat-templates/README.md says where the expected texts come from). And special tokens in what is rendered.
 */
import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { anyCharacter } from "../../../test/any-text.js";
import { gpt2VocabularyFiles } from "../../../test/gpt2-vocabulary.js";
import { memoryFiles } from "../../../test/memory-files.js";
import { loadTokenizer } from "../../tokenizer/load-tokenizer.js";
import type { Tokenizer } from "../../tokenizer/tokenizer.js";
import type { ChatMessage } from "../chat-template.js";
import { ChatTemplate } from "../chat-template-engine.js";
import { Template, TemplateRefusal } from "./template.js";

interface Expected {
  readonly template: string;
  readonly conversation: string;
  readonly messages: ChatMessage[];
  readonly addGenerationPrompt: boolean;
  readonly text: string;
}

const fixture = (name: string) =>
  readFileSync(new URL(`../../../test/fixtures/chat-templates/${name}`, import.meta.url), "utf8");
const EXPECTED: Expected[] = JSON.parse(fixture("expected.json"));
const LIMITS = { deadlineMs: 5000, contextLength: 1000 };
const SPECIALS = [
  ...["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|user|>", "<|system|>", "<|assistant|>"],
  ...["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<start_of_turn>", "<end_of_turn>"],
];

/** The embedded model's tokenizer with more special tokens. */
async function tokenizerWith(flags: Record<string, { lstrip?: boolean; rstrip?: boolean }>) {
  const stories = readFileSync(new URL("../../../models/stories/tokenizer.json", import.meta.url), "utf8");
  const json = JSON.parse(stories);
  const specials = [...new Set([...SPECIALS, ...Object.keys(flags)])];
  const first = Math.max(...json.added_tokens.map(({ id }: { id: number }) => id), 2047) + 1;
  json.added_tokens.push(
    ...specials.map((content, i) => ({
      ...{ id: first + i, content, special: true, normalized: false, single_word: false },
      ...{ lstrip: false, rstrip: false, ...flags[content] },
    })),
  );
  const files = memoryFiles("a chat model", {
    "tokenizer.json": JSON.stringify(json),
    "tokenizer_config.json": JSON.stringify({ bos_token: "<s>", eos_token: "</s>" }),
  });
  return (await loadTokenizer(files, first + specials.length))!;
}

let tokenizer: Tokenizer;
beforeAll(async () => {
  tokenizer = await tokenizerWith({});
});
/** A rendered text as it is read when special tokens count as such. */
const read = (by: Tokenizer, text: string) =>
  by.encode(text, { addSpecialTokens: false, parseSpecial: true });

describe("render as transformers does", () => {
  test.each(EXPECTED)("$template, $conversation, prompt for an answer: $addGenerationPrompt", (expected) => {
    const { template, messages, addGenerationPrompt, text } = expected;
    const { tokens: ids } = new ChatTemplate(fixture(template), tokenizer, LIMITS).encode(messages, {
      addGenerationPrompt,
    });
    expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe(text);
    expect(ids).toEqual(read(tokenizer, text));
  });

  test("and refuse what the template refuses", () => {
    const template = new ChatTemplate(fixture("llama-2.jinja"), tokenizer, LIMITS);
    const twice: ChatMessage[] = [
      { role: "user", content: "a" },
      { role: "user", content: "b" },
    ];
    expect(() => template.encode(twice)).toThrow(/refuses these messages: User and assistant take turns/);
  });
});

/** What a template makes of its variables, or what it throws. */
function rendered(source: string, { messages, ...variables }: Record<string, unknown>, now: Date) {
  try {
    const end = performance.now() + 10_000;
    return new Template(source).render({ messages: messages as object[], variables, end, now }).value;
  } catch (error) {
    return error;
  }
}

interface PublishedCases {
  readonly bosToken: string;
  readonly eosToken: string;
  readonly variables: Record<string, unknown>;
  readonly cases: {
    readonly name: string;
    readonly messages: object[];
    readonly tools?: object[];
    readonly kwargs?: object;
    readonly add_generation_prompt?: boolean;
    readonly text?: string;
    readonly error?: string;
  }[];
}

const PUBLISHED = readdirSync(new URL("../../../test/fixtures/chat-templates/published", import.meta.url))
  .filter((name) => name.endsWith(".jinja"))
  .map((name) => name.slice(0, -".jinja".length));

test.each(PUBLISHED)("%s renders as in transformers", (name) => {
  const { bosToken, eosToken, variables, cases }: PublishedCases = JSON.parse(
    fixture(`published/${name}.cases.json`),
  );
  expect(cases).toHaveLength(16);
  for (const {
    name: label,
    messages,
    tools = null,
    kwargs,
    add_generation_prompt = true,
    ...want
  } of cases) {
    const got = rendered(
      fixture(`published/${name}.jinja`),
      {
        ...{ messages, tools, documents: null, add_generation_prompt },
        ...{ bos_token: bosToken, eos_token: eosToken, ...variables, ...kwargs },
      },
      new Date(2026, 10, 29),
    );
    if (want.error === undefined) expect(got, label).toBe(want.text);
    else expect(got, label).toBeInstanceOf(want.error.startsWith("TemplateError") ? TemplateRefusal : Error);
  }
});

test("constructs of the language render as in Jinja2", () => {
  const { variables, cases } = JSON.parse(fixture("constructs.json"));
  expect(cases.length).toBeGreaterThan(220);
  for (const { template, text, error } of cases) {
    const got = rendered(template, variables, new Date(2026, 10, 9, 7, 5, 3));
    if (error === undefined) expect(got, template).toBe(text);
    else expect(got, `${template} ${error}`).toBeInstanceOf(Error);
  }
});

function shown(source: string, content: string): string {
  const end = performance.now() + 60_000;
  return new Template(source).render({ messages: [{ role: "user", content }], variables: {}, end }).value;
}

test("a part of a text is of its characters, as Python counts them; no filter makes more items than a list may have", () => {
  const bound = fc.option(fc.integer({ min: -7, max: 7 }));
  fc.assert(
    fc.property(
      fc.string({ unit: anyCharacter, maxLength: 6 }),
      bound,
      bound,
      fc.integer({ min: -7, max: 7 }),
      (text, from, to, at) => {
        const characters = [...text];
        const wanted = characters.slice(from ?? 0, to ?? characters.length).join("");
        const place = characters.at(at) ?? "";
        expect(
          shown(
            `{{ messages[0].content[${from ?? ""}:${to ?? ""}] }}|{{ messages[0].content[${at}] }}`,
            text,
          ),
        ).toBe(`${wanted}|${place}`);
      },
    ),
    { numRuns: 100 },
  );
  expect(() => shown("{{ [1] | batch(1000000000, 0) | list }}", "")).toThrow("more than 1048576 items");
});

test.each([
  ["list", "{{ ('a' * n) | list | length }}"],
  ["reverse", "{{ ('a' * n) | reverse | length }}"],
  ["loop", "{% for c in 'a' * n %}{% endfor %}"],
  ["split at a text", "{{ (',' * n).split(',') | length }}"],
  ["repeated, of two origins", "{{ (messages[0].content ~ 'a') * n }}"],
])("a text of more than a million pieces is not taken apart: %s", (_, template) => {
  expect(() => shown(template.replace(/\bn\b/g, "1048577"), "x")).toThrow("in more than 1048576 pieces");
});

test("texts are in the order of their characters, as Python counts them", () => {
  const word = fc
    .string({ unit: anyCharacter, minLength: 1, maxLength: 4 })
    .map((text) => text.replaceAll(",", "."));
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 6 }), (words) => {
      const codes = (text: string) => Array.from(text, (one) => one.codePointAt(0)!);
      const before = (a: string, b: string) => {
        const [x, y] = [codes(a), codes(b)];
        const at = x.findIndex((code, i) => code !== y[i]);
        return at === -1 ? x.length - y.length : x[at] - (y[at] ?? -1);
      };
      const sorted = shown(
        "{{ messages[0].content.split(',')|sort(case_sensitive=true)|join(',') }}",
        words.join(","),
      );
      expect(sorted).toBe(words.toSorted(before).join(","));
    }),
    { numRuns: 100 },
  );
});

test("a text of millions is cut and counted without being taken apart", () => {
  const long = "'aB ' * 2000000";
  expect(shown(`{{ ((${long}) | truncate(8, true, '')) }}`, "")).toBe("aB aB aB");
  expect(shown(`{{ (${long}).capitalize()[:5] }}`, "")).toBe("Ab ab");
  expect(shown(`{{ (${long}) | wordcount }}`, "")).toBe("2000000");
  expect(shown(`{{ (${long}).find('B', 3, 5) }}`, "")).toBe("4");
});

describe("special tokens", () => {
  test("take the white space beside them along where they are to", async () => {
    const stripping = await tokenizerWith({
      "<|im_end|>": { rstrip: true },
      "<|im_start|>": { lstrip: true },
      "</s>": { lstrip: true, rstrip: true },
    });
    for (const { template, messages, addGenerationPrompt, text } of EXPECTED) {
      const { tokens: ids } = new ChatTemplate(fixture(template), stripping, LIMITS).encode(messages, {
        addGenerationPrompt,
      });
      expect(ids, `${template}: ${text}`).toEqual(read(stripping, text));
    }
    const shown = read(stripping, "a <|im_start|> b <|im_end|> c </s> d");
    expect(stripping.decode(shown, { skipSpecialTokens: false })).toBe("a<|im_start|> b <|im_end|>c</s>d");
  });

  test("that a message writes are text, also beside the template's own", async () => {
    const stripping = await tokenizerWith({ "<|im_end|>": { rstrip: true } });
    const source = "<|im_start|>{{ messages[0].content }}<|im_end|>";
    for (const content of ["<|im_end|>", " <|im_end|> x", "<|im_<|im_end|>end|>", "x<|im_", "|im_end|>"]) {
      const { tokens: ids } = new ChatTemplate(source, stripping, LIMITS).encode([{ role: "user", content }]);
      expect(ids.filter((id) => stripping.isSpecial(id))).toHaveLength(2);
      expect(stripping.decode(ids)).toBe(content);
    }
  });

  test("a template may end turns with GPT-2's end token, which no file of GPT-2's names", async () => {
    const gpt2 = (await loadTokenizer(memoryFiles("gpt2", gpt2VocabularyFiles()), 50257))!;
    const template = new ChatTemplate(
      "{% for m in messages %}{{ m.content + eos_token }}{% endfor %}",
      gpt2,
      LIMITS,
    );
    expect(template.encode([{ role: "user", content: "Hello" }]).tokens).toEqual([15496, 50256]);
  });

  test.each([
    ["of one character", "\ue000", "a\ue000\ue000b"],
    ["that is a noncharacter", "\ufdd0", "a\ufdd0b<|im_end|>"],
    ["that ends in it", "a\ufdd0", "a\ufdd0b a"],
    ["that begins with it", "\ufdd0a", "\ufdd0a b \ufdd0"],
  ])("%s: a message that holds it is text", async (_, special, content) => {
    const odd = await tokenizerWith({ [special]: {} });
    const source = `${special}{{ messages[0].content }}<|im_end|>`;
    const { tokens: ids } = new ChatTemplate(source, odd, LIMITS).encode([{ role: "user", content }]);
    expect(ids.filter((id) => odd.isSpecial(id))).toEqual(
      [special, "<|im_end|>"].flatMap((text) => read(odd, text)),
    );
    expect(odd.decode(ids)).toBe(content);
  });
});
