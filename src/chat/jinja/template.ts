/**
 * A chat template, parsed and ready to be rendered with what transformers hands over: its functions and variables, its
 * sandbox. Bounded in time by a deadline that every step of the template looks at; memory is bounded where the caller
 * runs it in a thread whose heap is limited, and tells what of it is used.
 */
import type { HeapLook } from "../../platform/limited-thread.js";
import { Interpreter } from "./interpreter.js";
import { withinMemory } from "./memory.js";
import { parseTemplate } from "./parser.js";
import { strftime } from "./strftime.js";
import type { Program } from "./syntax.js";
import { Text } from "./text.js";
import {
  type Args,
  Dict,
  Func,
  iterate,
  List,
  Namespace,
  numberOf,
  Parts,
  str,
  toValue,
  type Value,
} from "./values.js";

/** What `raise_exception` throws: the template refuses what it was given. */
export class TemplateRefusal extends Error {}

/** Numbers of the longest range, as in Jinja2's sandbox. */
const MAX_RANGE = 100_000;

export interface Rendering {
  /** Each plain data, or floats; texts in the n-th have the origin n + 1, but for its role. */
  readonly messages: readonly object[];
  /** Whatever else the template is given: plain data. */
  readonly variables: Readonly<Record<string, unknown>>;
  /** More of it, which is not trusted: its texts have an origin of their own, behind those of the messages. */
  readonly asked?: Readonly<Record<string, unknown>> | undefined;
  /** When it is ended, by `performance.now()`. */
  readonly end: number;
  /** What `strftime_now` prints; default: now. */
  readonly now?: Date | undefined;
  /** Default: it is not known. */
  readonly heapLook?: HeapLook | undefined;
}

export class Template {
  readonly #program: Program;

  /** @throws Error saying what is wrong with the source */
  constructor(source: string) {
    this.#program = parseTemplate(source);
  }

  /** Whether it names a role, alone in quotes: then it knows what to do with messages of it. */
  knowsRole(role: string): boolean {
    return this.#program.literals.has(role);
  }

  /** @throws TemplateRefusal for what `raise_exception` says, any other Error when it fails */
  render(rendering: Rendering): Text {
    return withinMemory(rendering.heapLook, () => this.#render(rendering));
  }

  #render({ messages, variables, asked = {}, end, now }: Rendering): Text {
    const checkTime = () => {
      if (performance.now() > end) throw new Error("it took too long");
    };
    const given = new Map(Object.entries(variables).map(([name, value]) => [name, toValue(value)] as const));
    for (const [name, value] of Object.entries(asked)) given.set(name, toValue(value, messages.length + 1));
    given.set("messages", new List(messages.map((message, i) => messageValue(message, i + 1))));
    return new Interpreter(globals(now), checkTime).run(this.#program, given);
  }
}

function messageValue(message: object, origin: number): Dict {
  return new Dict(
    Object.entries(message).map(
      // A role is one of a few words, and special tokens may be made of it (`<|user|>`).
      ([key, value]) => {
        const made = toValue(value, key === "role" ? 0 : origin);
        const isParts = key === "content" && made instanceof List;
        return [Text.of(key), isParts ? new Parts(made.items) : made] as const;
      },
    ),
  );
}

function globals(now: Date | undefined): ReadonlyMap<string, Value> {
  const functions: Record<string, (args: Args) => Value> = {
    raise_exception(args) {
      throw new TemplateRefusal(str(args.take("message")[0] ?? null).value);
    },
    strftime_now: (args) => Text.of(strftime(now ?? new Date(), str(args.take("format")[0] ?? null).value)),
    range,
    namespace: ({ positional, named }) => {
      const [source] = positional;
      const entries = source instanceof Dict ? source.entries() : pairs(source);
      return new Namespace(
        new Map([...entries.map(([key, value]) => [str(key).value, value] as const), ...named]),
      );
    },
    dict: (args) => {
      const [source] = args.positional;
      const entries = source instanceof Dict ? source.entries() : pairs(source);
      return new Dict([...entries, ...[...args.named].map(([name, value]) => args.entry(name, value))]);
    },
    joiner: (args) => {
      const [separator = Text.of(", ")] = args.take("sep");
      let isUsed = false;
      return new Func("joiner", () => {
        const before = isUsed ? separator : Text.of("");
        isUsed = true;
        return before;
      });
    },
  };
  return new Map<string, Value>([
    ...Object.entries(functions).map(([name, call]) => [name, new Func(name, call)] as const),
  ]);
}

function pairs(source: Value | undefined): [Value, Value][] {
  if (source === undefined) return [];
  return iterate(source).map((pair) => {
    const [key, value, ...rest] = iterate(pair);
    if (key === undefined || value === undefined || rest.length > 0) throw new Error("a pair was expected");
    return [key, value];
  });
}

function range({ positional }: Args): List {
  const bounds = positional.map((bound) => {
    if (typeof bound !== "number" && typeof bound !== "boolean") throw new Error("range takes whole numbers");
    return numberOf(bound) ?? 0;
  });
  const [start, stop] = bounds.length > 1 ? bounds : [0, bounds[0]];
  const step = bounds[2] ?? 1;
  if (bounds.length === 0 || bounds.length > 3) throw new Error("range takes one to three numbers");
  if (step === 0) throw new Error("range() arg 3 must not be zero");
  const length = Math.max(Math.ceil((stop - start) / step), 0);
  if (length > MAX_RANGE) {
    throw new Error(`Range too big. The sandbox blocks ranges larger than ${MAX_RANGE}`);
  }
  return new List(Array.from({ length }, (_, i) => start + i * step));
}
