/** What a template is handed, which of its failures are whose fault, and messages that it takes no notice of. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ChatRenderer } from "./chat-renderer.js";
import type { ChatMessage } from "./chat-template.js";

const published = (name: string) =>
  new ChatRenderer(
    readFileSync(
      new URL(`../../test/fixtures/chat-templates/published/${name}.jinja`, import.meta.url),
      "utf8",
    ),
  );
const OPTIONS = { addGenerationPrompt: true, namedTokens: {}, deadlineMs: 5000 };
const render = (
  template: string | ChatRenderer,
  messages: readonly (readonly [ChatMessage["role"], string])[],
  options: Partial<typeof OPTIONS> = {},
) =>
  (typeof template === "string" ? new ChatRenderer(template) : template)
    .render(
      messages.map(([role, content]) => ({ role, content })),
      { ...OPTIONS, ...options },
    )
    .map(({ text }) => text)
    .join("");
const ALL = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}";

describe("a template is handed", () => {
  test("the tokens that the files name, tools and documents as none, and nothing else", () => {
    const source =
      "{{ bos_token }}{{ pad_token }}{{ unk_token is defined }}{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}{{ messages[0].content }}";
    const namedTokens = { bos_token: "<s>", pad_token: "<pad>" };
    expect(render(source, [["user", "a"]], { namedTokens })).toBe("<s><pad>FalseTrueTrueTruea");
  });

  test("a developer's message as the system's, unless it names the role", () => {
    expect(render(ALL, [["developer", "a"]])).toBe("[system]a");
    expect(render(`${ALL}{% if messages[0].role == 'developer' %}!{% endif %}`, [["developer", "a"]])).toBe(
      "[developer]a!",
    );
    expect(render(`${ALL}{# developer #}`, [["developer", "a"]])).toBe("[system]a");
    expect(
      render(published("Qwen-Qwen3-0.6B"), [
        ["developer", "Be kind."],
        ["user", "Hi"],
      ]),
    ).toBe("<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  });
});

describe("parts of a text", () => {
  const parts = (...texts: string[]) => texts.map((text) => ({ type: "text", text }) as const);
  const rendered = (source: string, content: ChatMessage["content"]) =>
    new ChatRenderer(source)
      .render([{ role: "user", content }], OPTIONS)
      .map(({ text }) => text)
      .join("");

  test.each([
    ["reads them", "{% for p in messages[0].content %}[{{ p.text }}]{% endfor %}", "[a][ b]"],
    [
      "asks whether it is a text",
      "{{ messages[0].content if messages[0].content is string else 'list' }}",
      "a b",
    ],
    ["adds to it", "{{ '>' + messages[0].content }}", ">a b"],
    ["prints it", "{{ messages[0].content }}", "a b"],
    ["trims it", "{{ messages[0].content | trim }}", "a b"],
    ["formats it", "{{ '%s' % messages[0].content }}", "a b"],
    ["calls a method of a text", "{{ messages[0].content.upper() }}", "A B"],
    ["leaves them out", "{% if messages[0].content is string %}{{ messages[0].content }}{% endif %}", "a b"],
    [
      "prints all as JSON",
      "{{ messages[0].content | tojson }}",
      '[{"type": "text", "text": "a"}, {"type": "text", "text": " b"}]',
    ],
    ["prints one of them", "{{ messages[0].content[0] }}", "{'type': 'text', 'text': 'a'}"],
  ])("a template that %s", (_, source, text) => {
    expect(rendered(source, parts("a", " b"))).toBe(text);
  });

  test("what a template refuses it refuses either way, and none of a part is special", () => {
    expect(() => rendered("{{ raise_exception('No.') }}", parts("a"))).toThrow(/refuses these messages: No/);
    const runs = new ChatRenderer("<s>{{ messages[0].content[0].text }}").render(
      [{ role: "user", content: parts("<s>") }],
      OPTIONS,
    );
    expect(runs).toEqual([
      { text: "<s>", origin: 0 },
      { text: "<s>", origin: 1 },
    ]);
  });

  test.each([[[{ type: "image_url" }]], [[{ type: "text" }]], [[null]], [["a"]], [{}], [7]])(
    "a content that is %j is none",
    (content) => {
      expect(() => rendered("{{ messages[0].content }}", content as never)).toThrow(/Message 0 is not/);
    },
  );
});

test("variables that are asked for come over the named tokens, and are text", () => {
  const runs = new ChatRenderer("{{ bos_token }}{{ x }}{{ messages[0].content }}").render(
    [{ role: "user", content: "a" }],
    { ...OPTIONS, namedTokens: { bos_token: "<s>" }, variables: { x: "<s>" } },
  );
  expect(runs).toEqual([
    { text: "<s>", origin: 0 },
    { text: "<s>", origin: 2 },
    { text: "a", origin: 1 },
  ]);
});

describe("the last message goes on", () => {
  const own = (name: string) =>
    new ChatRenderer(
      readFileSync(new URL(`../../test/fixtures/chat-templates/${name}.jinja`, import.meta.url), "utf8"),
    );
  const namedTokens = { bos_token: "<s>", eos_token: "</s>" };
  const OPEN = { ...OPTIONS, namedTokens, continueLast: true };
  const continued = (template: ChatRenderer, last: Omit<ChatMessage, "role">, first = "Tell me.") =>
    template.render(
      [
        { role: "user", content: first },
        { role: "assistant", ...last },
      ],
      OPEN,
    );
  const textOf = (runs: ReturnType<typeof continued>) => runs.map(({ text }) => text).join("");

  test.each([
    ...["HuggingFaceTB-SmolLM3-3B", "Qwen-Qwen2.5-7B-Instruct", "Qwen-Qwen3-0.6B", "Qwen3-Coder"],
    ...["deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "ibm-granite-granite-3.3-2B-Instruct"],
    ...["microsoft-Phi-3.5-mini-instruct", "mistralai-Mistral-Nemo-Instruct-2407"],
    ...["../chatml", "../gemma", "../llama-2", "../llama-3", "../zephyr"],
  ])("%s: the prompt ends with its text, and is what it was up to there", (name) => {
    const template = published(name);
    // Said before, too: the last place counts.
    const said = "Once upon a time\nthere was";
    const whole = render(
      template,
      [
        ["user", said],
        ["assistant", said],
      ],
      { addGenerationPrompt: false, namedTokens },
    );
    const cut = textOf(continued(template, { content: said }, said));
    expect(cut).toBe(whole.slice(0, whole.lastIndexOf(said) + said.length));
    expect(cut.length).toBeLessThan(whole.length);
  });

  test("white space at its end stays, where the template keeps it", () => {
    expect(textOf(continued(own("chatml"), { content: "Once " }))).toMatch(/assistant\nOnce $/);
    expect(textOf(continued(own("gemma"), { content: "Once " }))).toMatch(/model\nOnce$/);
  });

  test("parts of a text go on behind the last one", () => {
    const content = ["Once ", "upon"].map((text) => ({ type: "text", text }) as const);
    expect(textOf(continued(own("chatml"), { content }))).toMatch(/Once upon$/);
    expect(textOf(continued(own("gemma"), { content }))).toMatch(/Onceupon$/);
  });

  test("an empty one begins where its text would stand, behind its thoughts", () => {
    const qwen = published("Qwen-Qwen3-0.6B");
    const thought = continued(qwen, { content: "", reasoning: "Hm." });
    expect(textOf(thought)).toMatch(/<think>\nHm\.\n<\/think>\n\n$/);
    expect(textOf(continued(published("Qwen3-Coder"), { content: "" }))).toMatch(
      /<\|im_start\|>assistant\n$/,
    );
  });

  const refused = (source: string, content: string) => () =>
    continued(new ChatRenderer(source), { content, reasoning: "Hm." });

  test.each([
    ["writes as JSON", "{{ messages[0].content }}{{ messages[1].content | tojson }}", "Once"],
    ["writes in capitals", "{{ messages[0].content }}{{ messages[1].content | upper }}", "Once"],
    [
      "writes something behind of",
      "{{ messages[0].content }}{{ messages[1].content ~ messages[1].reasoning_content }}",
      "Once",
    ],
    ["leaves out when it is empty", "{{ messages[0].content }}{% if messages[1].content %}x{% endif %}", ""],
    ["writes only the thoughts of", "{{ messages[0].content }}{{ messages[1].reasoning_content }}", ""],
  ])("a message that the template %s cannot", (_, source, content) => {
    expect(refused(source, content)).toThrow(
      expect.objectContaining({
        code: "invalid_argument",
        message: expect.stringMatching(/cannot be continued/),
      }),
    );
  });

  test("only the assistant's can", () => {
    expect(() => new ChatRenderer(ALL).render([{ role: "user", content: "a" }], OPEN)).toThrow(
      /^Only a message of the assistant's can be continued; the last one's role is user\.$/,
    );
  });
});

describe("failures", () => {
  test.each([
    ["a value that it adds wrongly", "{{ 'a' + 1 }}"],
    ["a name that is not there", "{{ nobody.name }}"],
    ["a range that the sandbox forbids", "{{ range(300000000) | length }}"],
    ["a filter that there is not", "{{ messages | shuffle }}"],
    ["macros without end", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"],
    [
      "a text without bounds",
      "{% set ns = namespace(s='aaaa') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    ],
    [
      "a list without bounds",
      "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
    ],
    [
      "lists within lists, compared",
      "{% set ns = namespace(l=[1], m=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% set ns.m = [ns.m, ns.m] %}{% endfor %}{{ ns.l == ns.m }}",
    ],
    [
      "dicts within dicts, printed",
      "{% set ns = namespace(d={}) %}{% for i in range(60) %}{% set ns.d = {'a': ns.d, 'b': ns.d} %}{% endfor %}{{ ns.d }}{{ ns.d | tojson }}",
    ],
    ["a text times a thousand million", "{{ 'a' * 1000000000 }}"],
    ["a margin of as much", "{{ 'a\nb' | indent(500000000) }}"],
    ["a list changed", "{{ messages.append(1) }}"],
  ])("of the template are its own: %s", (_, source) => {
    expect(() => render(source, [["user", "a"]])).toThrow(
      expect.objectContaining({ code: "chat_template_failed" }),
    );
  });

  test("more time than it may take is one of them", () => {
    const source =
      "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}{{ messages[0].content }}";
    expect(() => render(source, [["user", "a"]], { deadlineMs: 20 })).toThrow(/took more than 0.02 s/);
  });

  test("what the template refuses is the messages' fault", () => {
    expect(() =>
      render(published("mistralai-Mistral-Nemo-Instruct-2407"), [
        ["user", "a"],
        ["user", "b"],
      ]),
    ).toThrow(
      expect.objectContaining({
        code: "invalid_argument",
        message: expect.stringMatching(/refuses these messages: After the optional system message/),
      }),
    );
  });

  test.each([
    ["a loop without a name", "{% for %}"],
    ["brackets without end", `{{ ${"(".repeat(50_000)} }}`],
    ["an end of what was not begun", "{% endif %}"],
    ["a block without end", "{% if true %}a"],
    ["a tag without end", "{{ a"],
    ["a comment without end", "{# a"],
    ["raw text without end", "{% raw %}{{ a }}"],
    ["a text without end", "{{ 'a }}"],
    ["the wrong bracket", "{{ (a] }}"],
    ["nothing to print", "{{ }}"],
    ["blocks within blocks", "{% if true %}".repeat(50_000)],
    ["signs and quotes", `{{ ${"'".repeat(99_999)} }}`],
    ["another template", "{% include 'x' %}"],
    ["tests of a test", "{{ a is b is c }}"],
    ["a name that is a constant", "{% set true = 1 %}"],
    ["positional arguments behind named ones", "{{ f(a=1, 2) }}"],
  ])("a template that is none: %s", (_, source) => {
    expect(() => new ChatRenderer(source)).toThrow(expect.objectContaining({ code: "tokenizer_invalid" }));
  });

  test("of a template that is none the line is named", () => {
    expect(() => new ChatRenderer("a\n{{ b }}\n{% if c %}\n{{ d e }}")).toThrow(/line 4: unexpected "e"/);
  });

  test.each([
    ["white space", `${" \n".repeat(2 ** 19)}{`],
    [
      "white space before tags",
      `${" ".repeat(2 ** 10)}{%- if true -%}${" ".repeat(2 ** 10)}{% endif %}`.repeat(400),
    ],
    ["braces", "{".repeat(2 ** 20).replaceAll("{{", "{ ")],
    ["beginnings of raw text", "{%            ra".repeat(1000)],
    ["backslashes", `{{ '${"\\\\".repeat(2 ** 18)}' }}`],
    ["digits", `{{ ${"1_".repeat(2 ** 18)}1 }}`],
  ])("a mebibyte of %s is read in one go", (_, source) => {
    // What took time by the square of it would not end before the test does.
    try {
      new ChatRenderer(source);
    } catch (error) {
      expect(error).toMatchObject({ code: "tokenizer_invalid" });
    }
  });

  test("an expression that fills the stack is said to be nested too deeply, in no engine's words", () => {
    expect(() => render(`{{ ${"not ".repeat(200_000)}1 }}`, [["user", "a"]])).toThrow(
      expect.objectContaining({
        code: "chat_template_failed",
        message: "The chat template failed: it is nested too deeply.",
      }),
    );
  });

  test.each([
    "{{ messages.constructor.constructor('return process')() }}",
    "{{ ''.constructor }}{{ ''['constructor'] }}{{ messages['__proto__'].polluted }}",
    "{% set ns = namespace(a=1) %}{% set ns.__proto__ = {'polluted': 1} %}{{ {}.polluted }}",
    "{% set o = {'__proto__': {'polluted': 1}} %}{{ o.polluted }}",
  ])("nothing of JavaScript is reached: %s", (source) => {
    let text = "";
    try {
      text = render(`${source}{{ messages[0].content }}`, [["user", "a"]]);
    } catch (error) {
      expect(error).toMatchObject({ code: "chat_template_failed" });
    }
    expect(text).not.toMatch(/function|1/);
    expect(Reflect.get({}, "polluted")).toBeUndefined();
  });
});

describe("a message that leaves nothing behind is told", () => {
  const nothingOf = (index: number) =>
    expect.objectContaining({
      code: "invalid_argument",
      message: expect.stringContaining(`drops message ${index}`),
    });

  test("a role that the template leaves out", () => {
    const source = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}";
    expect(() =>
      render(source, [
        ["system", "Be kind."],
        ["user", "a"],
      ]),
    ).toThrow(nothingOf(0));
    expect(render(source, [["user", "a"]])).toBe("a");
  });

  test("a second system message that takes the first one's place", () => {
    const template = published("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B");
    expect(() =>
      render(template, [
        ["system", "One."],
        ["developer", "Two."],
        ["user", "a"],
      ]),
    ).toThrow(nothingOf(0));
  });

  test("only what goes in is looked for, not the like of it: a message that repeats another one counts", () => {
    const source =
      "{{ messages[0].content }}{{ messages[1].content[:0] if messages[1].content == 'b' else '' }}";
    expect(() =>
      render(source, [
        ["user", "a"],
        ["user", "a"],
      ]),
    ).toThrow(nothingOf(1));
  });

  test("but not thoughts that are cut, orders that are obeyed, or messages that say nothing", () => {
    const deepSeek = published("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B");
    const thought = "<think>\nhm\n</think>";
    expect(
      render(deepSeek, [
        ["user", "a"],
        ["assistant", thought],
        ["user", "b"],
      ]),
    ).toBe("<｜User｜>a<｜Assistant｜><｜end▁of▁sentence｜><｜User｜>b<｜Assistant｜><think>\n</think>");
    const smol = published("HuggingFaceTB-SmolLM3-3B");
    const obeyed = render(smol, [
      ["system", "/no_think"],
      ["user", "Hi"],
    ]);
    expect(obeyed).toContain("Reasoning Mode: /no_think");
    const phi = published("microsoft-Phi-3.5-mini-instruct");
    expect(
      render(phi, [
        ["system", ""],
        ["user", " "],
      ]),
    ).toBe("<|user|>\n <|end|>\n<|assistant|>\n");
    expect(render("{{ messages[0].content | upper | tojson }}", [["user", "a"]])).toBe('"A"');
  });
});
