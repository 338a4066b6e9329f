/**
 * Runs a template as Jinja2 does with transformers' settings: its sandbox (lists and dicts cannot be changed, a range has
 * at most 100,000 numbers), `trim_blocks` and `lstrip_blocks`, loop controls. A template is a program that is not
 * trusted: every step looks at the clock.
 */
import { applyFilter, applyTest } from "./filters.js";
import { attribute, binary, expectDefined, item, negative, slice } from "./operators.js";
import {
  type Body,
  type Call,
  type Expression,
  type Name,
  NEGATED_TEST_PREFIX,
  type Program,
  type Statement,
  TEST_PREFIX,
} from "./syntax.js";
import { MAX_TEXT, Text } from "./text.js";
import {
  Args,
  Dict,
  describe,
  Float,
  Func,
  foundOr,
  isEqual,
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

  #statement(node: Statement | Expression, scope: Scope, out: Output): End {
    this.#step();
    switch (node.type) {
      case "If":
        return this.#body(isTrue(this.#value(node.test, scope)) ? node.body : node.alternate, scope, out);
      case "For":
        this.#loop(node, scope, out);
        return "end";
      case "Break":
        return "break";
      case "Continue":
        return "continue";
      case "Comment":
        return "end";
      case "Set": {
        const value =
          node.value === null ? this.#capture(node.body, new Scope(scope)) : this.#value(node.value, scope);
        this.#assign(node.assignee, value, scope);
        return "end";
      }
      case "Macro":
        scope.set(node.name.value, this.#macro(node.name.value, node.args, node.body, scope));
        return "end";
      case "CallStatement": {
        const caller = this.#macro("caller", node.callerArgs ?? [], node.body, scope);
        const { positional, named } = this.#args(node.call.args, scope);
        const callee = this.#value(node.call.callee, scope);
        out.write(str(this.#call(callee, new Args(positional, new Map([...named, ["caller", caller]])))));
        return "end";
      }
      case "FilterStatement":
        out.write(str(this.#filter(this.#capture(node.body, new Scope(scope)), node.filter, scope)));
        return "end";
      default:
        out.write(str(this.#value(node, scope)));
        return "end";
    }
  }

  #loop(node: Extract<Statement, { type: "For" }>, scope: Scope, out: Output): void {
    const { iterable, loopvar } = node;
    const isFiltered = iterable.type === "SelectExpression";
    const over = this.#value(isFiltered ? iterable.lhs : iterable, scope);
    let items = iterate(over);
    if (isFiltered) {
      items = items.filter((one) => {
        const inner = new Scope(scope);
        this.#assign(loopvar, one, inner);
        return isTrue(this.#value(iterable.test, inner));
      });
    }
    let isElse = true;
    const state: { changed: Value | null } = { changed: null };
    for (let i = 0; i < items.length; i++) {
      this.#step();
      const inner = new Scope(scope);
      inner.set("loop", loopObject(items, i, state));
      this.#assign(loopvar, items[i], inner);
      const end = this.#body(node.body, inner, out);
      if (end === "end") isElse = false;
      if (end === "break") break;
    }
    // Jinja2 takes a loop for empty, too, when no round came to its end.
    if (isElse) this.#body(node.defaultBlock, new Scope(scope), out);
  }

  #assign(target: Expression, value: Value, scope: Scope): void {
    if (target.type === "Identifier") scope.set(target.value, value);
    else if (target.type === "TupleLiteral") {
      const items = iterate(value);
      if (items.length !== target.value.length) {
        throw new Error(`${items.length} values cannot be assigned to ${target.value.length} names`);
      }
      for (const [i, part] of target.value.entries()) this.#assign(part, items[i], scope);
    } else if (
      target.type === "MemberExpression" &&
      !target.computed &&
      target.property.type === "Identifier"
    ) {
      const object = this.#value(target.object, scope);
      if (!(object instanceof Namespace) || object.name !== "namespace") {
        throw new Error("cannot assign attribute on non-namespace object");
      }
      object.attributes.set(target.property.value, value);
    } else throw new Error("cannot assign to this");
  }

  #macro(name: string, parameters: readonly Expression[], body: Body, defined: Scope): Func {
    const used = namesIn(body);
    return new Func(name, ({ positional, named }) => {
      if (++this.#depth > MAX_DEPTH) throw new Error(`macros are nested deeper than ${MAX_DEPTH}`);
      const scope = new Scope(defined);
      const left = new Map(named);
      scope.set("caller", left.get("caller") ?? new Undefined("'caller' is undefined"));
      left.delete("caller");
      for (const [i, parameter] of parameters.entries()) {
        const isPlain = parameter.type === "Identifier";
        if (!isPlain && parameter.type !== "KeywordArgumentExpression") throw new Error("no parameter");
        const key = isPlain ? parameter.value : parameter.key.value;
        const given = i < positional.length ? positional[i] : left.get(key);
        left.delete(key);
        const fallback = () =>
          isPlain
            ? new Undefined(`parameter '${key}' was not provided`)
            : this.#value(parameter.value, scope);
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
      scope.set("kwargs", new Dict([...left].map(([key, value]) => [Text.of(key), value] as const)));
      const text = this.#capture(body, scope);
      this.#depth--;
      return text;
    });
  }

  #value(node: Expression, scope: Scope): Value {
    this.#step();
    switch (node.type) {
      case "StringLiteral":
        return Text.of(node.value);
      case "IntegerLiteral":
        return node.value;
      case "FloatLiteral":
        return new Float(node.value);
      case "Identifier":
        return scope.get(node.value);
      case "ArrayLiteral":
        return new List(node.value.map((part) => this.#value(part, scope)));
      case "TupleLiteral":
        return new List(
          node.value.map((part) => this.#value(part, scope)),
          "tuple",
        );
      case "ObjectLiteral":
        return new Dict(
          [...node.value].map(
            ([key, value]) => [this.#value(key, scope), this.#value(value, scope)] as const,
          ),
        );
      case "MemberExpression": {
        const object = this.#value(node.object, scope);
        const { property } = node;
        if (property.type === "SliceExpression") {
          const bounds = [property.start, property.stop, property.step];
          return slice(
            object,
            bounds.map((bound) => (bound === undefined ? undefined : this.#value(bound, scope))),
          );
        }
        if (!node.computed && property.type === "Identifier") return attribute(object, property.value);
        return item(object, this.#value(property, scope));
      }
      case "CallExpression": {
        const callee = this.#value(node.callee, scope);
        return this.#call(callee, this.#args(node.args, scope));
      }
      case "FilterExpression":
        return this.#filter(this.#value(node.operand, scope), node.filter, scope);
      case "TestExpression":
        return applyTest(node.test.value, this.#value(node.operand, scope)) !== node.negate;
      case "UnaryExpression": {
        const value = this.#value(node.argument, scope);
        if (node.operator.value === "not") return !isTrue(value);
        return node.operator.value === "-" ? negative(value) : expectDefined(value);
      }
      case "BinaryExpression": {
        const left = this.#value(node.left, scope);
        const operator = node.operator.value;
        if (operator === "and") return isTrue(left) ? this.#value(node.right, scope) : left;
        if (operator === "or") return isTrue(left) ? left : this.#value(node.right, scope);
        return binary(operator, left, this.#value(node.right, scope));
      }
      case "Ternary": {
        const isChosen = isTrue(this.#value(node.condition, scope));
        return this.#value(isChosen ? node.trueExpr : node.falseExpr, scope);
      }
      case "SelectExpression":
        return isTrue(this.#value(node.test, scope))
          ? this.#value(node.lhs, scope)
          : new Undefined("the inline if-expression evaluated to false and no else section was defined.");
    }
    throw new Error(`${node.type} is no value`);
  }

  #filter(value: Value, filter: Name | Call, scope: Scope): Value {
    const callee = filter.type === "Identifier" ? filter : filter.callee;
    if (callee.type !== "Identifier") throw new Error("a filter is a name");
    const args = filter.type === "Identifier" ? new Args([]) : this.#args(filter.args, scope);
    const name = callee.value;
    for (const prefix of [NEGATED_TEST_PREFIX, TEST_PREFIX]) {
      if (!name.startsWith(prefix)) continue;
      return applyTest(name.slice(prefix.length), value, args.positional) === (prefix === TEST_PREFIX);
    }
    return applyFilter(name, value, args);
  }

  #args(nodes: readonly Expression[], scope: Scope): Args {
    const positional: Value[] = [];
    const named = new Map<string, Value>();
    for (const node of nodes) {
      if (node.type === "KeywordArgumentExpression")
        named.set(node.key.value, this.#value(node.value, scope));
      else if (node.type === "SpreadExpression") {
        for (const value of iterate(this.#value(node.argument, scope))) positional.push(value);
      } else if (node.type === "KeywordSpreadExpression") {
        const dict = this.#value(node.argument, scope);
        if (!(dict instanceof Dict)) throw new Error(`${describe(dict)} after ** is no mapping`);
        for (const [key, value] of dict.entries()) named.set(str(key).value, value);
      } else positional.push(this.#value(node, scope));
    }
    return new Args(positional, named);
  }

  #call(callee: Value, args: Args): Value {
    if (callee instanceof Func) return callee.call(args);
    if (callee instanceof Undefined) throw new Error(callee.what);
    throw new Error(`${describe(callee)} is not callable`);
  }

  #step(): void {
    if (++this.#steps % STEPS === 0) this.#checkTime();
  }
}

/** Every name that stands somewhere in a part of the tree. */
function namesIn(node: unknown, names = new Set<string>()): Set<string> {
  if (Array.isArray(node)) for (const part of node) namesIn(part, names);
  else if (node instanceof Map) for (const pair of node) namesIn(pair, names);
  else if (typeof node === "object" && node !== null) {
    if (Reflect.get(node, "type") === "Identifier") names.add(String(Reflect.get(node, "value")));
    else namesIn(Object.values(node), names);
  }
  return names;
}

/** Jinja2's `loop`. */
function loopObject(items: readonly Value[], i: number, state: { changed: Value | null }): Namespace {
  const { length } = items;
  const at = (index: number, which: string) => foundOr(items[index], `there is no ${which} item`);
  return new Namespace(
    new Map<string, Value>([
      ["index", i + 1],
      ["index0", i],
      ["revindex", length - i],
      ["revindex0", length - i - 1],
      ["first", i === 0],
      ["last", i === length - 1],
      ["length", length],
      ["depth", 1],
      ["depth0", 0],
      ["previtem", at(i - 1, "previous")],
      ["nextitem", at(i + 1, "next")],
      [
        "cycle",
        new Func("cycle", ({ positional }) => {
          if (positional.length === 0) throw new Error("no items for cycling given");
          return positional[i % positional.length];
        }),
      ],
      [
        "changed",
        new Func("changed", ({ positional }) => {
          const now = new List(positional, "tuple");
          const isChanged = state.changed === null || !isEqual(state.changed, now);
          state.changed = now;
          return isChanged;
        }),
      ],
    ]),
    "loop",
  );
}
