/** Templates in a thread of their own: one that takes too much ends alone, and the next is rendered. */
import { afterEach, expect, test } from "vitest";
import type { TaskAnswer } from "../platform/limited-tasks.js";
import { HEAP_MIB } from "../platform/limited-thread.js";
import { startLimitedThread } from "../platform/node-limited-thread.js";
import type { Run } from "./jinja/text.js";
import type { TemplateTask } from "./template-messages.js";
import { TemplateRunner } from "./template-runner.js";

const BUILT = new URL("../../dist/chat/template-thread.js", import.meta.url);
const OPTIONS = { addGenerationPrompt: true, namedTokens: { bos_token: "<s>" }, deadlineMs: 60_000 };
const SAID = "{{ bos_token }}{{ messages[0].content }}";
const EVER_MORE =
  "{% set l = [0] * 1000000 %}{% set ns = namespace(l=[]) %}{% for i in range(9999) %}{% set ns.l = [ns.l, l + []] %}{% endfor %}";

let started = 0;
const runnerOf = (heapMib: number) =>
  new TemplateRunner(async () => {
    started++;
    return startLimitedThread<TemplateTask, TaskAnswer<readonly Run[]>>(BUILT, "template", heapMib);
  });
const runner = runnerOf(HEAP_MIB.template);
afterEach(() => {
  started = 0;
});

const render = (by: TemplateRunner, source: string, content = "a") =>
  by.render(source, [{ role: "user", content }], OPTIONS);

test("one that takes all memory ends alone; what waits behind it is rendered by the next thread", async () => {
  // Of a heap that is smaller than what it may take: its looks at it say nothing.
  const small = runnerOf(128);
  const bomb = render(small, EVER_MORE);
  const next = render(small, SAID);
  await expect(bomb).rejects.toMatchObject({
    code: "chat_template_failed",
    message: expect.stringContaining("128 MiB"),
  });
  expect(await next).toEqual([
    { text: "<s>", origin: 0 },
    { text: "a", origin: 1 },
  ]);
  expect(started).toBe(2);
  await small.dispose();
});

test("one that makes large texts until there is no room for the next ends alone, and not the process", async () => {
  const large = `('\u4e2d' * 7999990) ~ i`;
  const source = `{% set ns = namespace(l=[]) %}{% for i in range(99) %}{% set ns.l = ns.l + [${large}] %}{% endfor %}`;
  await expect(render(runner, source)).rejects.toMatchObject({
    code: "chat_template_failed",
    message: "The chat template failed: it took more than 256 MiB of memory.",
  });
  // Lists that hold one text many times are written out once more for each.
  const many = "{% set l = [['a' * 100] * 1000000] * 60 %}";
  for (const written of ["l|string", "l|tojson", "l|tojson(indent='  ' * 1000)", "[l]|join"]) {
    await expect(render(runner, `${many}{{ ${written} }}`)).rejects.toMatchObject({
      code: "chat_template_failed",
      message: "The chat template failed: a text of more than 8388608 characters.",
    });
  }
  expect((await render(runner, SAID))[1].text).toBe("a");
});

test("a thread renders any number; its failures keep their codes", async () => {
  await runner.check(SAID, 10_000);
  for (const content of ["b", "c"]) expect((await render(runner, SAID, content))[1].text).toBe(content);
  await expect(render(runner, "{{ raise_exception('No.') }}")).rejects.toMatchObject({
    code: "invalid_argument",
  });
  await expect(render(runner, "{{ 'a' + 1 }}")).rejects.toMatchObject({ code: "chat_template_failed" });
  await expect(runner.check("{% for %}", 10_000)).rejects.toMatchObject({ code: "tokenizer_invalid" });
  expect(started).toBeLessThanOrEqual(1);
});

test("where there were threads, nothing is rendered here because the next one cannot be started", async () => {
  let lose!: (reason: string) => void;
  const nothing = () => undefined;
  const dying = {
    ...{ post: () => lose("it took too much"), onMessage: nothing, hold: nothing },
    onLost: (listener: (reason: string) => void) => {
      lose = listener;
    },
    close: async () => undefined,
  };
  let answer!: (answer: TaskAnswer<readonly Run[]>) => void;
  const sound = {
    ...{ post: () => answer({ kind: "done", value: [] }), onLost: nothing, hold: nothing },
    onMessage: (listener: (given: TaskAnswer<readonly Run[]>) => void) => {
      answer = listener;
    },
    close: async () => undefined,
  };
  const starts = [async () => dying, () => Promise.reject(new Error("no memory")), async () => sound];
  const own = new TemplateRunner(() => starts.shift()!());
  await expect(render(own, SAID)).rejects.toThrow("it took too much");
  await expect(render(own, SAID)).rejects.toMatchObject({
    code: "chat_template_failed",
    message: "The chat template failed: no thread could be started for it: no memory.",
  });
  expect(await render(own, SAID)).toEqual([]);
});

test("disposing ends what is at work at once, not when its time is up, and what waits behind it", async () => {
  let begin!: () => void;
  const isAtWork = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const nothing = () => undefined;
  const silent = {
    ...{ post: () => begin(), onMessage: nothing, onLost: nothing, hold: nothing },
    close: async () => undefined,
  };
  const own = new TemplateRunner(async () => silent);
  const codes = [render(own, SAID), render(own, SAID)].map((one) =>
    one.then(
      () => null,
      (error) => error.code,
    ),
  );
  await isAtWork;
  await own.dispose();
  expect(await Promise.all(codes)).toEqual(["disposed", "disposed"]);
});

test("disposing ends what is at work and what waits", async () => {
  const [working, waiting] = [render(runner, EVER_MORE), render(runner, SAID)].map((one) =>
    one.then(
      () => null,
      (error) => error.code,
    ),
  );
  await runner.dispose();
  expect(await Promise.all([working, waiting])).toEqual(["disposed", "disposed"]);
  await expect(render(runner, SAID)).rejects.toMatchObject({ code: "disposed" });
});

test("where there are no such threads, or none can be started, it is rendered here", async () => {
  const none = [
    async () => null,
    () =>
      startLimitedThread<TemplateTask, TaskAnswer<readonly Run[]>>(
        new URL("./nothing.js", BUILT),
        "template",
        HEAP_MIB.template,
      ),
  ];
  for (const start of none) {
    const here = new TemplateRunner(start);
    expect((await render(here, SAID))[1].text).toBe("a");
    await expect(here.check("{% for %}", 10_000)).rejects.toMatchObject({ code: "tokenizer_invalid" });
    await here.dispose();
  }
});
