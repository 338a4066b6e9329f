/** Jinja2's expressions, by the precedence of its operators, from the loosest on. */
import type { Arguments, Expression, Filter, Target } from "./syntax.js";
import { Text } from "./text.js";
import type { TokenReader } from "./token-reader.js";
import { Float, type Value } from "./values.js";

/** Deepest nesting of an expression. */
const MAX_DEPTH = 200;
const COMPARISONS: ReadonlySet<string> = new Set(["==", "!=", "<", "<=", ">", ">="]);
const NO_ARGUMENTS: Arguments = { positional: [], named: [], spread: null, namedSpread: null };
const CONSTANTS: ReadonlyMap<string, Value> = new Map<string, Value>([
  ...(["true", "True"] as const).map((name) => [name, true] as const),
  ...(["false", "False"] as const).map((name) => [name, false] as const),
  ...(["none", "None"] as const).map((name) => [name, null] as const),
]);

interface TupleStyle {
  /** Whether `a if b else c` may stand in it. Default true. */
  readonly isConditional?: boolean;
  /** In brackets it may be empty. */
  readonly isInBrackets?: boolean;
}

export class ExpressionParser {
  readonly #tokens: TokenReader;
  #depth = 0;

  constructor(tokens: TokenReader) {
    this.#tokens = tokens;
  }

  expression(isConditional = true): Expression {
    if (++this.#depth > MAX_DEPTH)
      throw this.#tokens.error(`expressions are nested deeper than ${MAX_DEPTH}`);
    const expression = isConditional ? this.#condition() : this.#or();
    this.#depth--;
    return expression;
  }

  /** An expression, or several with commas between them. */
  tuple({ isConditional = true, isInBrackets = false }: TupleStyle = {}): Expression {
    const tokens = this.#tokens;
    const items: Expression[] = [];
    let isTuple = false;
    do {
      if (tokens.current.type === "end" || tokens.isOperator(")")) break;
      items.push(this.expression(isConditional));
      isTuple ||= tokens.isOperator(",");
    } while (tokens.takeOperator(","));
    if (isTuple || (items.length === 0 && isInBrackets)) return { type: "tuple", items };
    if (items.length === 0) throw tokens.unexpected();
    return items[0];
  }

  /** What is assigned to. */
  target(): Target {
    const tokens = this.#tokens;
    const items: Target[] = [];
    let isTuple = false;
    do {
      if (tokens.current.type === "end" || tokens.isOperator("=") || tokens.isName("in")) break;
      if (tokens.takeOperator("(")) {
        items.push(this.target());
        tokens.expectOperator(")");
      } else items.push(this.#nameTarget());
      isTuple ||= tokens.isOperator(",");
    } while (tokens.takeOperator(",") && !tokens.isOperator(")"));
    if (isTuple) return { type: "tuple", items };
    if (items.length === 0) throw tokens.unexpected();
    return items[0];
  }

  #nameTarget(): Target {
    const tokens = this.#tokens;
    const name = tokens.expectName();
    if (CONSTANTS.has(name)) throw tokens.error(`${name} cannot be assigned to`);
    if (!tokens.takeOperator(".")) return { type: "name", name };
    return { type: "attribute", object: { type: "name", name }, name: tokens.expectName() };
  }

  /**
   * The filters of a block, the last one outermost; null when there is none.
   * @param isFirst the first has no `|` before it
   */
  blockFilter(isFirst = false): Filter | null {
    let filter: Filter | null = null;
    for (let needsNone = isFirst; needsNone || this.#tokens.takeOperator("|"); needsNone = false) {
      filter = this.#filter(filter);
    }
    return filter;
  }

  #condition(): Expression {
    let then = this.#or();
    while (this.#tokens.takeName("if")) {
      const test = this.#or();
      const otherwise = this.#tokens.takeName("else") ? this.expression() : null;
      then = { type: "condition", test, then, otherwise };
    }
    return then;
  }

  #or(): Expression {
    let left = this.#and();
    while (this.#tokens.takeName("or")) left = { type: "or", left, right: this.#and() };
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    while (this.#tokens.takeName("and")) left = { type: "and", left, right: this.#not() };
    return left;
  }

  #not(): Expression {
    let count = 0;
    while (this.#tokens.takeName("not")) count++;
    let operand = this.#comparison();
    for (; count > 0; count--) operand = { type: "not", operand };
    return operand;
  }

  #comparison(): Expression {
    const tokens = this.#tokens;
    const first = this.#sum();
    const rest: { operator: string; right: Expression }[] = [];
    for (;;) {
      const { type, value } = tokens.current;
      if (type === "operator" && COMPARISONS.has(value)) {
        tokens.skip();
        rest.push({ operator: value, right: this.#sum() });
      } else if (tokens.takeName("in")) rest.push({ operator: "in", right: this.#sum() });
      else if (tokens.isName("not") && tokens.following.type === "name" && tokens.following.value === "in") {
        tokens.skip();
        tokens.skip();
        rest.push({ operator: "not in", right: this.#sum() });
      } else break;
    }
    return rest.length === 0 ? first : { type: "compare", first, rest };
  }

  #sum(): Expression {
    return this.#leftToRight(["+", "-"], () => this.#concatenation());
  }

  #concatenation(): Expression {
    const parts = [this.#product()];
    while (this.#tokens.takeOperator("~")) parts.push(this.#product());
    return parts.length === 1 ? parts[0] : { type: "concat", parts };
  }

  #product(): Expression {
    return this.#leftToRight(["*", "/", "//", "%"], () => this.#power());
  }

  #power(): Expression {
    return this.#leftToRight(["**"], () => this.#unary(true));
  }

  #leftToRight(operators: readonly string[], operand: () => Expression): Expression {
    let left = operand();
    for (;;) {
      const { type, value: operator } = this.#tokens.current;
      if (type !== "operator" || !operators.includes(operator)) return left;
      this.#tokens.skip();
      left = { type: "binary", operator, left, right: operand() };
    }
  }

  /** @param isFiltered whether filters and tests behind it belong to it: they bind less than a sign */
  #unary(isFiltered: boolean): Expression {
    const signs: ("negative" | "positive")[] = [];
    for (;;) {
      if (this.#tokens.takeOperator("-")) signs.push("negative");
      else if (this.#tokens.takeOperator("+")) signs.push("positive");
      else break;
    }
    let value = this.#postfix(this.#primary());
    for (const type of signs.reverse()) value = { type, operand: value };
    return isFiltered ? this.#filtersAndTests(value) : value;
  }

  #primary(): Expression {
    const tokens = this.#tokens;
    const { type, value } = tokens.current;
    if (type === "name") {
      tokens.skip();
      const constant = CONSTANTS.get(value);
      return constant === undefined ? { type: "name", name: value } : { type: "constant", value: constant };
    }
    if (type === "string") {
      let text = "";
      while (tokens.current.type === "string") text += tokens.skip().value;
      return { type: "constant", value: Text.of(text) };
    }
    if (type === "integer" || type === "float") {
      tokens.skip();
      const number = Number(value.replaceAll("_", ""));
      return { type: "constant", value: type === "float" ? new Float(number) : number };
    }
    if (tokens.takeOperator("(")) {
      const inner = this.tuple({ isInBrackets: true });
      tokens.expectOperator(")");
      return inner;
    }
    if (tokens.takeOperator("[")) return { type: "list", items: this.#until("]", () => this.expression()) };
    if (tokens.takeOperator("{")) {
      const pair = () => {
        const key = this.expression();
        tokens.expectOperator(":");
        return [key, this.expression()] as const;
      };
      return { type: "dict", pairs: this.#until("}", pair) };
    }
    throw tokens.unexpected();
  }

  /** Items with commas between them and perhaps behind them. */
  #until<T>(close: string, item: () => T): T[] {
    const items: T[] = [];
    while (!this.#tokens.takeOperator(close)) {
      if (items.length > 0) this.#tokens.expectOperator(",");
      if (this.#tokens.takeOperator(close)) break;
      items.push(item());
    }
    return items;
  }

  #postfix(of: Expression): Expression {
    const tokens = this.#tokens;
    let object = of;
    for (;;) {
      if (tokens.takeOperator(".")) {
        const { type, value } = tokens.skip();
        if (type === "name") object = { type: "attribute", object, name: value };
        else if (type === "integer")
          object = { type: "item", object, key: { type: "constant", value: Number(value) } };
        else throw tokens.error("a name or a number was expected");
      } else if (tokens.takeOperator("[")) object = this.#subscript(object);
      else if (tokens.isOperator("(")) object = { type: "call", callee: object, args: this.#args() };
      else return object;
    }
  }

  #filtersAndTests(of: Expression): Expression {
    const tokens = this.#tokens;
    let value = of;
    for (;;) {
      if (tokens.takeOperator("|")) value = this.#filter(value);
      else if (tokens.takeName("is")) value = this.#test(value);
      else if (tokens.isOperator("(")) value = { type: "call", callee: value, args: this.#args() };
      else return value;
    }
  }

  #subscript(object: Expression): Expression {
    const tokens = this.#tokens;
    const isBound = () => !tokens.isOperator(":") && !tokens.isOperator("]");
    const first = isBound() ? this.expression() : null;
    if (first !== null && !tokens.isOperator(":")) {
      const keys = [first];
      while (tokens.takeOperator(",")) keys.push(this.expression());
      tokens.expectOperator("]");
      return { type: "item", object, key: keys.length === 1 ? first : { type: "tuple", items: keys } };
    }
    const bounds = [first];
    while (bounds.length < 3 && tokens.takeOperator(":")) bounds.push(isBound() ? this.expression() : null);
    tokens.expectOperator("]");
    if (bounds.length === 1) return { type: "item", object, key: { type: "tuple", items: [] } };
    return { type: "slice", object, bounds };
  }

  /** Called behind the `|`. */
  #filter(operand: Expression | null): Filter {
    const name = this.#dottedName();
    const args = this.#tokens.isOperator("(") ? this.#args() : NO_ARGUMENTS;
    return { type: "filter", operand, name, args };
  }

  /** Called behind `is`. One argument may stand without brackets. */
  #test(operand: Expression): Expression {
    const tokens = this.#tokens;
    const isNegated = tokens.takeName("not");
    const name = this.#dottedName();
    let args = NO_ARGUMENTS;
    if (tokens.isOperator("(")) args = this.#args();
    else if (this.#isArgument()) {
      if (tokens.isName("is")) throw tokens.error("tests cannot be chained");
      args = { ...NO_ARGUMENTS, positional: [this.#postfix(this.#primary())] };
    }
    const test: Expression = { type: "test", operand, name, args };
    return isNegated ? { type: "not", operand: test } : test;
  }

  #isArgument(): boolean {
    const { type, value } = this.#tokens.current;
    if (type === "operator") return value === "[" || value === "{";
    if (type === "name") return value !== "else" && value !== "or" && value !== "and";
    return type === "string" || type === "integer" || type === "float";
  }

  #dottedName(): string {
    let name = this.#tokens.expectName();
    while (this.#tokens.takeOperator(".")) name += `.${this.#tokens.expectName()}`;
    return name;
  }

  #args(): Arguments {
    const tokens = this.#tokens;
    const positional: Expression[] = [];
    const named: (readonly [string, Expression])[] = [];
    let spread: Expression | null = null;
    let namedSpread: Expression | null = null;
    const expect = (isRight: boolean) => {
      if (!isRight) throw tokens.error("these arguments are not in order");
    };
    tokens.expectOperator("(");
    this.#until(")", () => {
      if (tokens.takeOperator("*")) {
        expect(spread === null && namedSpread === null);
        spread = this.expression();
      } else if (tokens.takeOperator("**")) {
        expect(namedSpread === null);
        namedSpread = this.expression();
      } else if (
        tokens.current.type === "name" &&
        tokens.following.value === "=" &&
        tokens.following.type === "operator"
      ) {
        expect(namedSpread === null);
        const name = tokens.expectName();
        tokens.skip();
        named.push([name, this.expression()]);
      } else {
        expect(spread === null && namedSpread === null && named.length === 0);
        positional.push(this.expression());
      }
    });
    return { positional, named, spread, namedSpread };
  }
}
