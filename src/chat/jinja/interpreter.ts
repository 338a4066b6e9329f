/**
 * Runs a template as Jinja2 does with transformers' settings: its sandbox (lists and dicts cannot be changed, a range has
 * at most 100,000 numbers), `trim_blocks` and `lstrip_blocks`, loop controls. A template is a program that is not
 * trusted: every step looks at the clock.
 */
import { applyFilter, applyTest } from "./filters.js";
import { loopObject } from "./loop.js";
import { expectMemory } from "./memory.js";
import { attribute, binary, item, negative, positive, slice } from "./operators.js";
import type { Arguments, Body, Expression, Filter, Parameter, Program, Statement, Target } from "./syntax.js";
import { MAX_TEXT, Text } from "./text.js";
import {
  Args,
  Dict,
  describe,
  Func,
  foundOr,
  isTrue,
  iterate,
  List,
  Namespace,
  str,
  Undefined,
  type Value,
} from "./values.js";

/** Variables of a block, over those around it. */
class Scope {
  readonly #variables = new Map<string, Value>();
  readonly #outer: Scope | null;

  constructor(outer: Scope | null) {
    this.#outer = outer;
  }

  get(name: string): Value {
    for (let scope: Scope | null = this; scope !== null; scope = scope.#outer) {
      const value = scope.#variables.get(name);
      if (value !== undefined) return value;
    }
    return new Undefined(`'${name}' is undefined`);
  }

  set(name: string, value: Value): void {
    this.#variables.set(name, value);
  }
}

/** The text that is written, bounded. */
class Output {
  readonly #parts: Text[] = [];
  #length = 0;

  write(text: Text): void {
    this.#length += text.value.length;
    if (this.#length > MAX_TEXT) throw new Error(`a text of more than ${MAX_TEXT} characters`);
    this.#parts.push(text);
  }

  get text(): Text {
    return Text.join([Text.of(""), ...this.#parts]);
  }
}

/** How a body ended: at its end, or by a loop control. */
type End = "end" | "break" | "continue";

/** Steps between two looks at the clock. */
const STEPS = 64;
/** Deepest nesting of macros, well before the stack ends. */
const MAX_DEPTH = 200;

export class Interpreter {
  readonly #globals: ReadonlyMap<string, Value>;
  readonly #checkTime: () => void;
  #steps = 0;
  #depth = 0;

  /** @param checkTime called every few steps; throws when the time is over */
  constructor(globals: ReadonlyMap<string, Value>, checkTime: () => void) {
    this.#globals = globals;
    this.#checkTime = checkTime;
  }

  /** @throws Error when the template fails, and what its functions throw */
  run({ body }: Program, variables: ReadonlyMap<string, Value>): Text {
    const globals = new Scope(null);
    for (const [name, value] of [...this.#globals, ...variables]) globals.set(name, value);
    return this.#capture(body, new Scope(globals));
  }

  #capture(body: Body, scope: Scope): Text {
    const out = new Output();
    this.#body(body, scope, out);
    return out.text;
  }

  #body(body: Body, scope: Scope, out: Output): End {
    for (const node of body) {
      const end = this.#statement(node, scope, out);
      if (end !== "end") return end;
    }
    return "end";
  }

  #statement(node: Statement, scope: Scope, out: Output): End {
    this.#step();
    switch (node.type) {
      case "data":
        out.write(Text.of(node.text));
        return "end";
      case "print":
        out.write(str(this.#value(node.value, scope)));
        return "end";
      case "if": {
        const chosen = node.branches.find(({ test }) => isTrue(this.#value(test, scope)));
        return this.#body(chosen?.body ?? node.otherwise, scope, out);
      }
      case "for":
        this.#loop(node, scope, out);
        return "end";
      case "set":
        this.#assign(node.target, this.#value(node.value, scope), scope);
        return "end";
      case "set-block": {
        const text = this.#capture(node.body, new Scope(scope));
        this.#assign(
          node.target,
          node.filter === null ? text : this.#filter(node.filter, text, scope),
          scope,
        );
        return "end";
      }
      case "macro":
        scope.set(node.name, this.#macro(node.name, node.parameters, node.body, scope));
        return "end";
      case "call": {
        const caller = this.#macro("caller", node.parameters, node.body, scope);
        const callee = this.#value(node.call.callee, scope);
        const { positional, named, names } = this.#args(node.call.args, scope);
        const args = new Args(positional, new Map([...named, ["caller", caller]]), names);
        out.write(str(this.#call(callee, args)));
        return "end";
      }
      case "filter":
        out.write(str(this.#filter(node.filter, this.#capture(node.body, new Scope(scope)), scope)));
        return "end";
      case "scope": {
        const inner = new Scope(scope);
        for (const [target, value] of node.variables) this.#assign(target, this.#value(value, scope), inner);
        return this.#body(node.body, inner, out);
      }
    }
    return node.type;
  }

  #loop(node: Extract<Statement, { type: "for" }>, scope: Scope, out: Output): void {
    const { target, test } = node;
    let items = iterate(this.#value(node.over, scope));
    if (test !== null) {
      items = items.filter((one) => {
        const inner = new Scope(scope);
        this.#assign(target, one, inner);
        return isTrue(this.#value(test, inner));
      });
    }
    let isElse = true;
    const state: { changed: Value | null } = { changed: null };
    for (let i = 0; i < items.length; i++) {
      this.#step();
      const inner = new Scope(scope);
      inner.set("loop", loopObject(items, i, state));
      this.#assign(target, items[i], inner);
      const end = this.#body(node.body, inner, out);
      if (end === "end") isElse = false;
      if (end === "break") break;
    }
    // Jinja2 takes a loop for empty, too, when no round came to its end.
    if (isElse) this.#body(node.otherwise, new Scope(scope), out);
  }

  #assign(target: Target, value: Value, scope: Scope): void {
    switch (target.type) {
      case "name":
        scope.set(target.name, value);
        return;
      case "tuple": {
        const items = iterate(value);
        if (items.length !== target.items.length) {
          throw new Error(`${items.length} values cannot be assigned to ${target.items.length} names`);
        }
        for (const [i, part] of target.items.entries()) this.#assign(part, items[i], scope);
        return;
      }
      case "attribute": {
        const object = this.#value(target.object, scope);
        if (!(object instanceof Namespace) || object.name !== "namespace") {
          throw new Error("cannot assign attribute on non-namespace object");
        }
        object.attributes.set(target.name, value);
      }
    }
  }

  #macro(name: string, parameters: readonly Parameter[], body: Body, defined: Scope): Func {
    const used = namesIn(body);
    return new Func(name, (args) => {
      const { positional, named } = args;
      if (++this.#depth > MAX_DEPTH) throw new Error(`macros are nested deeper than ${MAX_DEPTH}`);
      const scope = new Scope(defined);
      const left = new Map(named);
      scope.set("caller", foundOr(left.get("caller"), "'caller' is undefined"));
      left.delete("caller");
      for (const [i, { name: key, byDefault }] of parameters.entries()) {
        const given = i < positional.length ? positional[i] : left.get(key);
        left.delete(key);
        const fallback = () =>
          byDefault === null
            ? new Undefined(`parameter '${key}' was not provided`)
            : this.#value(byDefault, scope);
        scope.set(key, given === undefined ? fallback() : given);
      }
      if (positional.length > parameters.length && !used.has("varargs")) {
        throw new Error(`macro '${name}' takes not more than ${parameters.length} argument(s)`);
      }
      const [unknown] = left.keys();
      if (unknown !== undefined && !used.has("kwargs")) {
        throw new Error(`macro '${name}' takes no keyword argument '${unknown}'`);
      }
      scope.set("varargs", new List(positional.slice(parameters.length), "tuple"));
      scope.set("kwargs", new Dict([...left].map(([key, value]) => args.entry(key, value))));
      const text = this.#capture(body, scope);
      this.#depth--;
      return text;
    });
  }

  #value(node: Expression, scope: Scope): Value {
    this.#step();
    switch (node.type) {
      case "constant":
        return node.value;
      case "name":
        return scope.get(node.name);
      case "list":
      case "tuple": {
        const items = node.items.map((part) => this.#value(part, scope));
        return new List(items, node.type);
      }
      case "dict":
        return new Dict(
          node.pairs.map(([key, value]) => [this.#value(key, scope), this.#value(value, scope)] as const),
        );
      case "attribute":
        return attribute(this.#value(node.object, scope), node.name);
      case "item": {
        const object = this.#value(node.object, scope);
        return item(object, this.#value(node.key, scope));
      }
      case "slice": {
        const object = this.#value(node.object, scope);
        const bounds = node.bounds.map((bound) => (bound === null ? null : this.#value(bound, scope)));
        return slice(object, bounds);
      }
      case "call": {
        const callee = this.#value(node.callee, scope);
        return this.#call(callee, this.#args(node.args, scope));
      }
      case "filter":
        return this.#filter(node, Text.of(""), scope);
      case "test": {
        const value = this.#value(node.operand, scope);
        return applyTest(node.name, value, this.#args(node.args, scope).positional);
      }
      case "not":
        return !isTrue(this.#value(node.operand, scope));
      case "negative":
        return negative(this.#value(node.operand, scope));
      case "positive":
        return positive(this.#value(node.operand, scope));
      case "and":
      case "or": {
        const left = this.#value(node.left, scope);
        return isTrue(left) === (node.type === "and") ? this.#value(node.right, scope) : left;
      }
      case "binary": {
        const left = this.#value(node.left, scope);
        return binary(node.operator, left, this.#value(node.right, scope));
      }
      case "compare": {
        let left = this.#value(node.first, scope);
        for (const { operator, right: next } of node.rest) {
          const right = this.#value(next, scope);
          if (binary(operator, left, right) !== true) return false;
          left = right;
        }
        return true;
      }
      case "concat":
        return Text.join([Text.of(""), ...node.parts.map((part) => str(this.#value(part, scope)))]);
      case "condition":
        if (isTrue(this.#value(node.test, scope))) return this.#value(node.then, scope);
        return node.otherwise === null
          ? new Undefined("the inline if-expression evaluated to false and no else section was defined.")
          : this.#value(node.otherwise, scope);
    }
  }

  /** @param inner what the innermost filter of a block is applied to */
  #filter({ operand, name, args }: Filter, inner: Value, scope: Scope): Value {
    const value =
      operand === null
        ? inner
        : operand.type === "filter"
          ? this.#filter(operand, inner, scope)
          : this.#value(operand, scope);
    return applyFilter(name, value, this.#args(args, scope));
  }

  #args({ positional, named, spread, namedSpread }: Arguments, scope: Scope): Args {
    const values = positional.map((node) => this.#value(node, scope));
    const byName = new Map(named.map(([name, node]) => [name, this.#value(node, scope)] as const));
    const names = new Map<string, Text>();
    if (spread !== null) for (const value of iterate(this.#value(spread, scope))) values.push(value);
    if (namedSpread !== null) {
      const dict = this.#value(namedSpread, scope);
      if (!(dict instanceof Dict)) throw new Error(`${describe(dict)} after ** is not a mapping`);
      for (const [key, value] of dict.entries()) {
        const name = str(key);
        byName.set(name.value, value);
        names.set(name.value, name);
      }
    }
    return new Args(values, byName, names);
  }

  #call(callee: Value, args: Args): Value {
    if (callee instanceof Func) return callee.call(args);
    if (callee instanceof Undefined) throw new Error(callee.what);
    throw new Error(`${describe(callee)} is not callable`);
  }

  #step(): void {
    if (++this.#steps % STEPS !== 0) return;
    this.#checkTime();
    expectMemory();
  }
}

/** Every name that stands somewhere in a part of the tree. */
function namesIn(node: unknown, names = new Set<string>()): Set<string> {
  if (Array.isArray(node)) for (const part of node) namesIn(part, names);
  else if (typeof node === "object" && node !== null) {
    if (Reflect.get(node, "type") === "name") names.add(String(Reflect.get(node, "name")));
    // The values of constants are no part of the tree.
    else if (Reflect.get(node, "type") !== "constant") namesIn(Object.values(node), names);
  }
  return names;
}
