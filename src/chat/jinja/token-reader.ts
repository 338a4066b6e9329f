/** The tokens of a template, one after the other, with what a parser asks of them. Owns the place that it is at. */
import type { Token } from "./lexer.js";

export class TokenReader {
  readonly #tokens: readonly Token[];
  readonly #error: (at: number, what: string) => Error;
  #next = 0;

  /** @param tokens the last is `eof` */
  constructor(tokens: readonly Token[], error: (at: number, what: string) => Error) {
    this.#tokens = tokens;
    this.#error = error;
  }

  get current(): Token {
    return this.#tokens[this.#next];
  }

  /** The one behind the current one. */
  get following(): Token {
    return this.#tokens[Math.min(this.#next + 1, this.#tokens.length - 1)];
  }

  skip(): Token {
    const token = this.current;
    if (token.type !== "eof") this.#next++;
    return token;
  }

  isName(name: string): boolean {
    return this.current.type === "name" && this.current.value === name;
  }

  isAnyName(names: readonly string[]): boolean {
    return this.current.type === "name" && names.includes(this.current.value);
  }

  isOperator(operator: string): boolean {
    return this.current.type === "operator" && this.current.value === operator;
  }

  takeName(name: string): boolean {
    const isIt = this.isName(name);
    if (isIt) this.#next++;
    return isIt;
  }

  takeOperator(operator: string): boolean {
    const isIt = this.isOperator(operator);
    if (isIt) this.#next++;
    return isIt;
  }

  /** @param name any by default */
  expectName(name?: string): string {
    if (this.current.type !== "name" || (name !== undefined && this.current.value !== name)) {
      throw this.unexpected();
    }
    return this.skip().value;
  }

  expectOperator(operator: string): void {
    if (!this.takeOperator(operator)) throw this.unexpected();
  }

  /** The end of a tag. */
  expectEnd(): void {
    if (this.current.type !== "end") throw this.unexpected();
    this.#next++;
  }

  error(what: string): Error {
    return this.#error(this.current.at, what);
  }

  unexpected(): Error {
    const { type, value } = this.current;
    const names = {
      data: "text",
      block: "{%",
      print: "{{",
      end: "end of the tag",
      eof: "end of the template",
    };
    return this.error(
      `unexpected ${Object.hasOwn(names, type) ? names[type as "data"] : JSON.stringify(value)}`,
    );
  }
}
