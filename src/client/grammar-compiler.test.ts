import { expect, test } from "vitest";
import type { TaskAnswer } from "../platform/limited-tasks.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import type { ConstraintSpec } from "./constraint-spec.js";
import { GrammarCompiler } from "./grammar-compiler.js";
import { type GrammarTask, type GrammarTaskResult, runGrammarTask } from "./grammar-tasks.js";

const regex = (pattern: string): ConstraintSpec => ({ kind: "regex", pattern });
const never = new AbortController().signal;

/** A compiler whose thread compiles when it is told to, the patterns that it was given, in order, and those that it was ended at. */
function heldCompiler() {
  const begun: string[] = [];
  let answer: (answer: TaskAnswer<GrammarTaskResult>) => void = () => undefined;
  let task: GrammarTask | null = null;
  const closed: string[] = [];
  const compiler = new GrammarCompiler({} as Tokenizer, 1, async () => ({
    post: (posted: GrammarTask) => {
      task = posted;
      if (posted.kind === "compile" && posted.spec.kind === "regex") begun.push(posted.spec.pattern);
    },
    onMessage: (listener: typeof answer) => {
      answer = listener;
    },
    onLost: () => undefined,
    hold: () => undefined,
    close: async () => {
      closed.push(begun.at(-1) ?? "");
    },
  }));
  const settled = () => new Promise((resolve) => setTimeout(resolve, 0));
  const finishOne = async () => {
    await settled();
    answer({ kind: "done", value: runGrammarTask(task!) });
    await settled();
  };
  return { compiler, begun, closed, finishOne, settled };
}

test("tenants take turns; equal specs of one are compiled once, those of two twice", async () => {
  const { compiler, begun, finishOne } = heldCompiler();
  const many = ["a", "b", "c", "a"].map((pattern) => compiler.compile(regex(pattern), "many", never));
  const one = compiler.compile(regex("a"), "one", never);
  for (let i = 0; i < 4; i++) await finishOne();
  expect(begun).toEqual(["a", "a", "b", "c"]);
  const [first, , , again] = await Promise.all(many);
  expect(again).toBe(first);
  expect(await one).not.toBe(first);
  expect(await compiler.compile(regex("b"), "many", never)).toBe(await many[1]);
  expect(begun).toHaveLength(4);
});

test("a tenant that asks for many loses its own, not what another has compiled", async () => {
  const { compiler, begun, finishOne } = heldCompiler();
  const compile = async (pattern: string, tenant: string) => {
    const compiled = compiler.compile(regex(pattern), tenant, never);
    await finishOne();
    return compiled;
  };
  const others = await compile("a", "one");
  for (let i = 0; i < 70; i++) await compile(`b${i}`, "many");
  expect(await compiler.compile(regex("a"), "one", never)).toBe(others);
  // 64 are kept in all: of those of the other tenant the 63 that it wanted last.
  await compiler.compile(regex("b7"), "many", never);
  expect(begun).toHaveLength(71);
  await compile("b6", "many");
  expect(begun.at(-1)).toBe("b6");
});

test("what no caller wants any more is not begun; what another wants is", async () => {
  const { compiler, begun, finishOne, settled } = heldCompiler();
  const [leaving, left] = [new AbortController(), new AbortController()];
  const working = compiler.compile(regex("a"), "", never);
  const unwanted = compiler.compile(regex("b"), "", left.signal);
  const shared = [leaving.signal, never].map((signal) => compiler.compile(regex("c"), "", signal));
  await settled();
  left.abort();
  leaving.abort();
  await expect(unwanted).rejects.toBe(left.signal.reason);
  await finishOne();
  await finishOne();
  await Promise.all([working, ...shared]);
  expect(begun).toEqual(["a", "c"]);
  const anew = compiler.compile(regex("b"), "", never);
  await finishOne();
  await anew;
  expect(begun).toEqual(["a", "c", "b"]);
});

test("what no caller wants any more is ended where it has begun, and the next has a thread of its own", async () => {
  const { compiler, begun, closed, finishOne, settled } = heldCompiler();
  const [one, two] = [new AbortController(), new AbortController()];
  const leaving = [one.signal, two.signal].map((signal) => compiler.compile(regex("a"), "", signal));
  const next = compiler.compile(regex("b"), "", never);
  await settled();
  one.abort();
  await settled();
  expect([begun, closed]).toEqual([["a"], []]);
  two.abort();
  for (const grammar of leaving) await expect(grammar).rejects.toThrow("aborted");
  await settled();
  expect([begun, closed]).toEqual([["a", "b"], ["a"]]);
  await finishOne();
  await next;
  const again = compiler.compile(regex("a"), "", never);
  await finishOne();
  await again;
  expect([begun, closed]).toEqual([["a", "b", "a"], ["a"]]);
});

test("disposing of it fails what waits", async () => {
  const { compiler, settled } = heldCompiler();
  void compiler.compile(regex("a"), "", never).catch(() => undefined);
  const waiting = compiler.compile(regex("b"), "", never);
  await settled();
  await Promise.all([expect(waiting).rejects.toMatchObject({ code: "disposed" }), compiler.dispose()]);
});
