/** From a template's source to its syntax tree: Jinja2's grammar, without what reads other templates. */
import { ExpressionParser } from "./expression-parser.js";
import { lex, syntaxError } from "./lexer.js";
import type { Body, Expression, Parameter, Program, Statement, Target } from "./syntax.js";
import { TokenReader } from "./token-reader.js";

/** Deepest nesting of blocks. */
const MAX_DEPTH = 100;

/** @throws Error saying what is wrong, and in which line */
export function parseTemplate(source: string): Program {
  const tokens = lex(source);
  const literals = new Set(
    tokens.filter(({ type }) => type === "string" || type === "data").map(({ value }) => value),
  );
  const reader = new TokenReader(tokens, (at, what) => syntaxError(source, at, what));
  return { body: new StatementParser(reader).template(), literals };
}

class StatementParser {
  readonly #tokens: TokenReader;
  readonly #expressions: ExpressionParser;
  #depth = 0;

  constructor(tokens: TokenReader) {
    this.#tokens = tokens;
    this.#expressions = new ExpressionParser(tokens);
  }

  template(): Body {
    const body = this.#body([]);
    if (this.#tokens.current.type !== "eof") throw this.#tokens.unexpected();
    return body;
  }

  /** Statements up to a block that begins with one of some words, which is next; to the source's end where there are none. */
  #body(ends: readonly string[]): Body {
    const tokens = this.#tokens;
    if (++this.#depth > MAX_DEPTH) throw tokens.error(`blocks are nested deeper than ${MAX_DEPTH}`);
    const body: Statement[] = [];
    for (;;) {
      const { type, value } = tokens.current;
      if (type === "eof") {
        if (ends.length > 0) throw tokens.error(`${ends.at(-1)} is missing`);
        break;
      }
      tokens.skip();
      if (type === "data") body.push({ type: "data", text: value });
      else if (type === "print") {
        body.push({ type: "print", value: this.#expressions.tuple() });
        tokens.expectEnd();
      } else {
        if (tokens.isAnyName(ends)) break;
        body.push(this.#statement());
        tokens.expectEnd();
      }
    }
    this.#depth--;
    return body;
  }

  /** The body of a block, from the end of its first tag to the word that ends it. */
  #block(end: string): Body {
    this.#tokens.expectEnd();
    const body = this.#body([end]);
    this.#tokens.expectName(end);
    return body;
  }

  #statement(): Statement {
    const tokens = this.#tokens;
    const expressions = this.#expressions;
    const word = tokens.expectName();
    switch (word) {
      case "if":
        return this.#if();
      case "for":
        return this.#for();
      case "set": {
        const target = expressions.target();
        if (tokens.takeOperator("=")) return { type: "set", target, value: expressions.tuple() };
        const filter = expressions.blockFilter();
        return { type: "set-block", target, filter, body: this.#block("endset") };
      }
      case "macro": {
        const name = tokens.expectName();
        const parameters = this.#parameters();
        return { type: "macro", name, parameters, body: this.#block("endmacro") };
      }
      case "call": {
        const parameters = tokens.isOperator("(") ? this.#parameters() : [];
        const call = expressions.expression();
        if (call.type !== "call") throw tokens.error("a call was expected");
        return { type: "call", call, parameters, body: this.#block("endcall") };
      }
      case "filter": {
        const filter = expressions.blockFilter(true);
        if (filter === null) throw tokens.unexpected();
        return { type: "filter", filter, body: this.#block("endfilter") };
      }
      case "with": {
        const variables: (readonly [Target, Expression])[] = [];
        while (tokens.current.type !== "end") {
          if (variables.length > 0) tokens.expectOperator(",");
          const target = expressions.target();
          tokens.expectOperator("=");
          variables.push([target, expressions.expression()]);
        }
        return { type: "scope", variables, body: this.#block("endwith") };
      }
      case "generation":
        return { type: "scope", variables: [], body: this.#block("endgeneration") };
      case "break":
      case "continue":
        return { type: word };
    }
    throw tokens.error(`the block ${word} is not read`);
  }

  #if(): Statement {
    const tokens = this.#tokens;
    const branches = [];
    for (;;) {
      const test = this.#expressions.tuple({ isConditional: false });
      tokens.expectEnd();
      branches.push({ test, body: this.#body(["elif", "else", "endif"]) });
      if (!tokens.takeName("elif")) break;
    }
    const otherwise = tokens.takeName("else") ? this.#block("endif") : [];
    if (otherwise.length === 0) tokens.takeName("endif");
    return { type: "if", branches, otherwise };
  }

  #for(): Statement {
    const tokens = this.#tokens;
    const target = this.#expressions.target();
    tokens.expectName("in");
    const over = this.#expressions.tuple({ isConditional: false });
    const test = tokens.takeName("if") ? this.#expressions.expression() : null;
    if (tokens.takeName("recursive")) throw tokens.error("recursive loops are not read");
    tokens.expectEnd();
    const body = this.#body(["else", "endfor"]);
    const otherwise = tokens.takeName("else") ? this.#block("endfor") : [];
    if (otherwise.length === 0) tokens.takeName("endfor");
    return { type: "for", target, over, test, body, otherwise };
  }

  #parameters(): readonly Parameter[] {
    const tokens = this.#tokens;
    const parameters: Parameter[] = [];
    tokens.expectOperator("(");
    while (!tokens.takeOperator(")")) {
      if (parameters.length > 0) tokens.expectOperator(",");
      const name = tokens.expectName();
      const byDefault = tokens.takeOperator("=") ? this.#expressions.expression() : null;
      if (byDefault === null && parameters.at(-1)?.byDefault != null) {
        throw tokens.error("a parameter without a default follows one that has it");
      }
      parameters.push({ name, byDefault });
    }
    return parameters;
  }
}
