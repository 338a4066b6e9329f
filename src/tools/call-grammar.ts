/**
 * What an answer that may call tools is held to, as a grammar: free text that never holds the beginning of a call, and calls in
 * the model's format, each of a tool that there is, with arguments that fit its parameters. How a call is written is what the
 * format's chat templates show of earlier ones, to the character.
 */
import { invalidArgument, LastrowError } from "../errors.js";
import { GrammarBuilder, type WholeGrammar } from "../grammar/grammar.js";
import { JSON_STYLES } from "../grammar/json-schema/json-text.js";
import { addObjects, type SchemaTarget } from "../grammar/json-schema/schema-grammar.js";
import { schemaJson } from "../grammar/json-schema/schema-keywords.js";
import type { SchemaLimits } from "../grammar/json-schema/schema-limits.js";
import type { Schema } from "../grammar/json-schema/schema-types.js";
import { SchemaStrings } from "../grammar/json-schema/strings.js";
import { dfaOf } from "../grammar/make-dfa.js";
import { RegexTerms, UNBOUNDED } from "../grammar/regex-terms.js";
import type { CallFormat, CallMarker } from "./call-format.js";
import { markerBytes, textUpTo, textWithout } from "./free-text.js";
import { addTagged } from "./tagged-parameters.js";
import { TaggedStrings } from "./tagged-strings.js";
import type { ToolChoice } from "./tool.js";

/** What an answer may call. Plain data. */
export interface ToolsSpec {
  readonly format: CallFormat;
  readonly tools: readonly { readonly name: string /** As JSON. */; readonly parameters: string }[];
  readonly choice: ToolChoice;
  /** Names of those that it may call; default: all of them. */
  readonly callable?: readonly string[];
  /** Whether it may make several calls. */
  readonly parallel: boolean;
}

/** White space that may stand before a call that is asked for: what models write between thoughts and an answer. */
const MAX_LINE_BREAKS = 2;

const MISTRAL_ID_LENGTH = 9;

/**
 * Compiles it.
 * @throws LastrowError `invalid_argument` that names the tool whose parameters cannot be honoured, as `tools[2].parameters`
 */
export function callGrammar(spec: ToolsSpec, limits: SchemaLimits): WholeGrammar {
  return new CallGrammar(spec, limits).grammar();
}

class CallGrammar {
  readonly #spec: ToolsSpec;
  readonly #limits: SchemaLimits;
  readonly #builder: GrammarBuilder;
  readonly #target: SchemaTarget;
  readonly #taggedStrings: TaggedStrings;

  constructor(spec: ToolsSpec, limits: SchemaLimits) {
    this.#spec = spec;
    this.#limits = limits;
    this.#builder = new GrammarBuilder(limits.maxNodes);
    const strings = new SchemaStrings(limits, this.#builder.work);
    this.#taggedStrings = new TaggedStrings(this.#builder, limits);
    this.#target = { builder: this.#builder, strings, limits, style: JSON_STYLES.spaced };
  }

  grammar(): WholeGrammar {
    const builder = this.#builder;
    const { choice, format } = this.#spec;
    if (choice === "none" || this.#spec.tools.length === 0) return builder.grammar(this.#freeText());
    const calls = this.#calls();
    if (choice !== "auto") {
      const breaks = builder.repeat(builder.literal("\n"), 0, MAX_LINE_BREAKS);
      const begin = format.begin === null ? [] : [this.#marker(format.begin)];
      return builder.grammar(builder.seq([breaks, ...begin, calls]));
    }
    if (format.begin !== null) return builder.grammar(builder.seq([this.#upTo(format.begin), calls]));
    const breaks = builder.repeat(builder.literal("\n"), 0, MAX_LINE_BREAKS);
    return builder.grammar(builder.anyOf([builder.seq([breaks, calls]), this.#freeText()]));
  }

  /** Calls, behind the marker that the first of them begins with. */
  #calls(): number {
    const builder = this.#builder;
    const { format, parallel } = this.#spec;
    const call = this.#anyCall();
    const several = (more: number) => (parallel ? [builder.repeat(more, 0, UNBOUNDED)] : []);
    switch (format.name) {
      case "hermes":
      case "smollm3":
      case "qwen3-coder": {
        const { begin, end } = format as { begin: CallMarker; end: CallMarker };
        const whole = builder.seq([builder.literal("\n"), call, builder.literal("\n"), this.#marker(end)]);
        const more = builder.seq([builder.literal("\n"), this.#marker(begin), whole]);
        return builder.seq([whole, ...several(more)]);
      }
      case "granite":
      case "mistral": {
        const space = builder.repeat(builder.literal(" "), 0, 1);
        const more = builder.seq([builder.literal(", "), call]);
        return builder.seq([space, builder.literal("["), call, ...several(more), builder.literal("]")]);
      }
      case "llama3":
        return call;
    }
  }

  /** A call of one of the tools that may be called. */
  #anyCall(): number {
    const { tools, choice, callable } = this.#spec;
    const calls = tools.map(({ name, parameters }, i) =>
      this.#naming(i, () => this.#call(name, schemaJson(JSON.parse(parameters), this.#limits))),
    );
    const [empty] = this.#builder.withoutText(calls);
    if (empty !== undefined) {
      this.#naming(calls.indexOf(empty), () => {
        throw invalidArgument("no object fits the schema.");
      });
    }
    const asked = typeof choice === "object" ? [choice.name] : callable;
    return this.#builder.anyOf(calls.filter((_, i) => asked?.includes(tools[i].name) ?? true));
  }

  #call(name: string, parameters: Schema): number {
    const builder = this.#builder;
    const fitting = () => addObjects(parameters, this.#target);
    switch (this.#spec.format.name) {
      case "llama3": {
        const type = builder.repeat(builder.literal('"type": "function", '), 0, 1);
        const head = builder.literal(`"name": "${name}", "parameters": `);
        return builder.seq([builder.literal("{"), type, head, fitting(), builder.literal("}")]);
      }
      case "qwen3-coder":
        return builder.seq([
          builder.literal(`<function=${name}>\n`),
          addTagged(parameters, this.#target, this.#taggedStrings),
        ]);
      case "mistral": {
        const id = builder.seq([builder.literal(', "id": "'), this.#callId(), builder.literal('"')]);
        const head = builder.literal(`{"name": "${name}", "arguments": `);
        return builder.seq([head, fitting(), builder.repeat(id, 0, 1), builder.literal("}")]);
      }
      default:
        return builder.seq([
          builder.literal(`{"name": "${name}", "arguments": `),
          fitting(),
          builder.literal("}"),
        ]);
    }
  }

  /** What Mistral's templates show behind the arguments. */
  #callId(): number {
    const terms = new RegexTerms(this.#limits.maxPatternWork, this.#builder.work);
    const sign = terms.bytes([
      [0x30, 0x39],
      [0x41, 0x5a],
      [0x61, 0x7a],
    ]);
    const id = terms.repeat(sign, MISTRAL_ID_LENGTH, MISTRAL_ID_LENGTH);
    return this.#builder.dfa(dfaOf(terms, id, this.#limits.maxStates)!);
  }

  #marker(marker: CallMarker): number {
    return this.#builder.bytes(markerBytes(marker));
  }

  /** Free text, and the marker that ends it; the whole may end before that. */
  #upTo(marker: CallMarker): number {
    return this.#builder.dfa(textUpTo(marker, this.#limits, this.#builder.work), { mayStop: true });
  }

  /** Free text to the end, which holds no call. */
  #freeText(): number {
    const { format, tools } = this.#spec;
    const names = format.begin === null ? tools.map(({ name }) => name) : [];
    return this.#builder.dfa(textWithout(format.begin, names, this.#limits, this.#builder.work), {
      mayStop: true,
    });
  }

  /** What is wrong with a tool's parameters, said with their place. */
  #naming<T>(index: number, make: () => T): T {
    try {
      return make();
    } catch (error) {
      if (!(error instanceof LastrowError)) throw error;
      const { message } = error;
      // A place within the schema goes on the place of the schema.
      throw invalidArgument(
        `tools[${index}].parameters${message.startsWith("#") ? message.slice(1) : `: ${message}`}`,
      );
    }
  }
}
