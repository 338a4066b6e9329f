/**
 * Tools of a reply, as programs give them: functions with what they take, described to the model and run when it calls them.
 * What a function returns, or why it failed, becomes the text that the model is told; a failure of one ends nothing else.
 */
import { onAbort } from "../abort-listeners.js";
import { invalidArgument, LastrowError } from "../errors.js";
import { shown, wholeNumber } from "../option-checks.js";
import type { GenerationResult } from "../protocol/generation-request.js";
import type { AnswerTools } from "../tools/answer-tools.js";
import { CALL_FORMATS, type CallFormat } from "../tools/call-format.js";
import { checkTools, type ToolCall, type ToolChoice, type ToolDefinition } from "../tools/tool.js";
import { type AnySchema, jsonSchemaText, type ValueOf, validated } from "./structured-output.js";

/** What a tool is called with: typed by its schema, if that says it. */
export type ArgumentsOf<Schema> = Schema extends { readonly "~standard": unknown }
  ? ValueOf<Schema>
  : { readonly [name: string]: unknown };

/** A function that the model may call. */
export interface ChatTool<Schema = unknown> {
  /** What it does and when to call it, for the model to read. */
  readonly description?: string | undefined;
  /**
   * What it takes: a JSON Schema of an object, or a schema of a validation library (docs/structured-output.md), which then
   * also checks and types it. Absent: nothing.
   */
  readonly parameters?: (Schema & AnySchema) | undefined;
  /**
   * Runs it. What it returns is told to the model: a text as it is, anything else as JSON, nothing as an empty text; what it
   * throws as `Error: ` and its message.
   */
  run(args: ArgumentsOf<Schema>, call: ToolRun): unknown;
}

/** One run of a tool. */
export interface ToolRun {
  /** The call's. */
  readonly id: string;
  /** Aborted when the reply is: then nothing waits for the function any more. */
  readonly signal: AbortSignal;
}

/** What a tool said. */
export interface ToolResult {
  /** The call's, as are its name and its arguments. */
  readonly id: string;
  /** The tool that was called. */
  readonly name: string;
  /** JSON of an object. */
  readonly arguments: string;
  /** What the model is told. */
  readonly text: string;
  /** What was thrown, if something was. */
  readonly error?: unknown;
}

/** An answer that called tools, and what they said. */
export interface ToolRound {
  /** With its `toolCalls`. */
  readonly answer: GenerationResult;
  /** In the order of the calls. */
  readonly results: readonly ToolResult[];
}

/** Schemas of tools, by name; unknown: of one without. */
export type ToolSchemas = Readonly<Record<string, unknown>>;

/** The tools of a reply. */
export interface ToolOptions<Schemas extends ToolSchemas = ToolSchemas> {
  /**
   * Functions that the model may call, by name (letters, digits, `_` and `-`, at most 64). They are run, those of one answer at
   * once, and it goes on with what they say, until it answers without a call. Not with `schema`, `regex` or `grammar`.
   */
  readonly tools?: { readonly [Name in keyof Schemas]: ChatTool<Schemas[Name]> } | undefined;
  /**
   * Whether they are called: `auto` (the default) as the model likes, `none` not, `required` or `{ name }` first of all; after
   * that, as it likes.
   */
  readonly toolChoice?: ToolChoice | undefined;
  /** Whether an answer may have several calls. Default true. */
  readonly parallelToolCalls?: boolean | undefined;
  /** How many answers in a row may call tools; the next one may not, and so is an answer. 0 to 1000, default 8. */
  readonly maxToolRounds?: number | undefined;
}

const DEFAULT_TOOL_ROUNDS = 8;
const MAX_TOOL_ROUNDS = 1000;

/** Tools that can be run, with how they are called. */
export class CallableTools {
  /** What templates are handed. */
  readonly definitions: readonly ToolDefinition[];
  readonly #format: CallFormat | null;
  readonly #choice: ToolChoice;
  readonly #parallel: boolean;
  readonly #maxRounds: number;
  readonly #tools: ReadonlyMap<string, ChatTool>;

  /**
   * @param format how the model writes calls; null: in no form that is known
   * @throws LastrowError `invalid_argument`
   */
  constructor(options: ToolOptions, format: CallFormat | null) {
    const { tools = {}, toolChoice = "auto", parallelToolCalls = true } = options;
    if (typeof tools !== "object" || tools === null || Array.isArray(tools)) {
      throw invalidArgument(
        `tools is an object of tools by name, { name: { description, parameters, run } }, not ${shown(tools)}.`,
      );
    }
    if (typeof parallelToolCalls !== "boolean") {
      throw invalidArgument(`parallelToolCalls is true or false, not ${shown(parallelToolCalls)}.`);
    }
    const range = { from: 0, to: MAX_TOOL_ROUNDS };
    this.#maxRounds = wholeNumber("maxToolRounds", options.maxToolRounds, DEFAULT_TOOL_ROUNDS, range);
    this.#tools = new Map(Object.entries(tools));
    this.definitions = [...this.#tools].map(([name, tool]) => definitionOf(name, tool));
    checkTools(this.definitions, toolChoice);
    this.#choice = toolChoice;
    this.#parallel = parallelToolCalls;
    this.#format = format;
    if (format === null && toolChoice !== "none" && this.#tools.size > 0) {
      throw invalidArgument(
        `tools cannot be called: the chat template of this model asks for calls in no form that is known. If it writes one of ${CALL_FORMATS.join(", ")}, begin the chat with that toolFormat.`,
      );
    }
  }

  /** What the answer after so many rounds may call; null: nothing. */
  forRound(rounds: number): AnswerTools | null {
    if (this.#format === null || this.definitions.length === 0) return null;
    const isLast = rounds >= this.#maxRounds;
    const choice = isLast ? "none" : rounds === 0 || this.#choice === "none" ? this.#choice : "auto";
    return { format: this.#format, tools: this.definitions, choice, parallel: this.#parallel };
  }

  /** Runs a call; whatever goes wrong is told to the model. */
  async run(call: ToolCall, signal: AbortSignal): Promise<ToolResult> {
    try {
      const tool = this.#tools.get(call.name)!;
      signal.throwIfAborted();
      const args = await argumentsOf(tool, call);
      const value = await unlessAborted(async () => tool.run(args as never, { id: call.id, signal }), signal);
      return { ...call, text: textOf(value) };
    } catch (error) {
      const reason = signal.aborted ? "the call was cancelled" : messageOf(error);
      return { ...call, text: `Error: ${reason}`, error };
    }
  }

  /** An error about a place in the list of tools, which programs give by name. */
  named(error: unknown): unknown {
    if (!(error instanceof LastrowError) || error.code !== "invalid_argument") return error;
    const [place, index] = /^tools\[(\d+)\]/.exec(error.message) ?? [];
    if (place === undefined) return error;
    const { name } = this.definitions[Number(index)];
    return new LastrowError(error.code, `tools.${name}${error.message.slice(place.length)}`, {
      cause: error,
    });
  }
}

function definitionOf(name: string, tool: unknown): ToolDefinition {
  const { description, parameters, run } = (tool ?? {}) as Partial<ChatTool>;
  if (typeof run !== "function") {
    throw invalidArgument(`tools.${name} is { description, parameters, run }, run a function.`);
  }
  return {
    name,
    ...(description !== undefined && { description }),
    ...(parameters !== undefined && { parameters: parametersOf(name, parameters) }),
  };
}

/** As plain data, which cannot change while the reply is under way. */
function parametersOf(name: string, schema: AnySchema): Exclude<ToolDefinition["parameters"], undefined> {
  const json = JSON.parse(jsonSchemaText(schema, `tools.${name}.parameters`));
  if (typeof json !== "object" || json === null) return json;
  // Which draft it is says nothing to a model.
  const { $schema: _, ...parameters } = json;
  return parameters;
}

async function argumentsOf({ parameters }: ChatTool, { arguments: text }: ToolCall): Promise<unknown> {
  const result = await validated(parameters ?? true, JSON.parse(text));
  if (result.issues === undefined) return result.value;
  throw new Error(`these arguments are refused: ${result.issues.join("; ")}`);
}

/** Waits for a function, or for the signal. */
async function unlessAborted(run: () => Promise<unknown>, signal: AbortSignal): Promise<unknown> {
  let stopWaiting: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stopWaiting = onAbort(signal, () => reject(signal.reason));
  });
  try {
    return await Promise.race([run(), aborted]);
  } finally {
    stopWaiting();
  }
}

function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  return JSON.stringify(value) ?? "";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
