/** `POST /v1/completions`: OpenAI's older way to generate, with everything that the engine can do. */

import type { GenerateOptions, Prompt } from "../../library/generate-options.js";
import type { GeneratedLogprobs } from "../../sampling/logprobs.js";
import { replaceLoneSurrogates } from "../../tokenizer/lone-surrogates.js";
import type { Tokenizer } from "../../tokenizer/tokenizer.js";
import { ApiError } from "../api-error.js";
import { ChunkText, choiceText, listsText, wholeText } from "../chunk-text.js";
import type { Exchange } from "../exchange.js";
import { type Finished, generateAll, generateOptions } from "../generation-service.js";
import type { ModelService } from "../model-service.js";
import { timingsOf, usageOf } from "../openai-usage.js";
import { promptLogprobs } from "../prompt-logprobs.js";
import { type CompletionRequest, completionRequest, completionResponse } from "../schemas/completions.js";
import { askedStructure } from "../schemas/structure.js";
import {
  callerOf,
  infillEnds,
  promptTokens,
  reserveAnswer,
  type Service,
  streamAnswer,
  takeTurn,
} from "../service.js";
import { CompletionLogprobs, type ScoredToken, shownPerTurn } from "../token-text.js";
import { type App, jsonText, routeWithBody } from "./routing.js";

/** OpenAI's default; a chat goes on for longer. */
const DEFAULT_MAX_TOKENS = 16;

/** What a request asks for, settled. */
interface Plan {
  readonly prompts: readonly Prompt[];
  /** Texts that are made at once: prompts x best_of, or beams. */
  readonly choices: number;
  readonly options: GenerateOptions;
  /** The field that says what the texts are held to; null: they are held to nothing. */
  readonly structureParam: string | null;
  /** Alternatives to each token; null: no log-probabilities. */
  readonly logprobs: number | null;
  readonly echo: boolean;
  /** What follows the middle that is asked for; null: prompts are continued. */
  readonly suffix: string | null;
  /** Whether a stream ends with the usage. */
  readonly includeUsage: boolean;
}

/** A prompt that is given back. */
interface Echo {
  readonly text: string;
  readonly scored: readonly ScoredToken[];
}

export function addCompletions(app: App, service: Service): void {
  const { limits } = service;
  routeWithBody(
    app,
    {
      method: "post",
      path: "/v1/completions",
      operation: "text_completion",
      summary: "Continue prompts.",
      body: completionRequest(limits),
      response: completionResponse,
      streams: true,
    },
    service,
    async (context, body) => {
      const exchange = context.get("exchange");
      const model = await service.model(body.model, exchange);
      const plan = settle(model, exchange, body);
      await takeTurn(exchange, plan.choices);
      const prompts = await promptTokens(model, plan.prompts, exchange, plan);
      reserveAnswer(service, model, exchange, { prompts, options: plan.options, echo: plan.echo });
      const answer = new Answer(service, model, plan, prompts);
      const job = { prompts, options: plan.options, structureParam: plan.structureParam };
      if (body.stream !== true) {
        const echoes = await answer.echoes(exchange);
        const finished = await generateAll(model, exchange, job);
        return jsonText(context, await answer.whole(finished, echoes));
      }
      return streamAnswer(service, exchange, async (send) => {
        const echoes = await answer.echoes(exchange);
        if (plan.echo) for await (const chunk of answer.echoChunks(echoes)) send(chunk);
        const finished = await generateAll(model, exchange, job, (choice, { text, tokens, logprobs }) => {
          if (text !== "" || tokens.length > 0) send(answer.chunk(choice, text, logprobs));
        });
        for (const chunk of answer.lastChunks(finished)) send(chunk);
      });
    },
  );
}

function settle(model: ModelService, exchange: Exchange, body: CompletionRequest): Plan {
  const { limits } = model;
  const { prompt, n, stream } = body;
  const echo = body.echo === true;
  if (stream === true && (body.best_of ?? 1) > (n ?? 1)) {
    throw new ApiError(400, "invalid_request", "best_of chooses at the end; it cannot be streamed.", {
      param: "best_of",
    });
  }
  const prompts = (isList(prompt) ? prompt : [prompt ?? ""]).map(wellFormed);
  const suffix = askedSuffix(body, prompts);
  const ends = suffix === null ? [] : infillEnds(model);
  const structure = askedStructure(body);
  const shared = generateOptions(model, body, exchange.principal!, DEFAULT_MAX_TOKENS);
  const isAskedFor = body.use_beam_search === true && body.num_beams == null;
  const numBeams = isAskedFor ? (body.best_of ?? n ?? 1) : shared.numBeams;
  const isSearch = numBeams !== undefined;
  if (isSearch && numBeams > limits.beams) {
    throw new ApiError(400, "invalid_request", `A search may have ${limits.beams} beams, not ${numBeams}.`, {
      param: body.num_beams == null ? "use_beam_search" : "num_beams",
    });
  }
  const logprobs = body.logprobs ?? null;
  const options: GenerateOptions = {
    ...shared,
    ...structure?.options,
    ...(shared.ignoreEos !== true &&
      ends.length > 0 && { stopTokenIds: [...(shared.stopTokenIds ?? []), ...ends] }),
    bestOf: isSearch ? undefined : (body.best_of ?? undefined),
    numBeams,
    logprobs: logprobs ?? undefined,
    // For the prompt's log-probabilities all of its rows are computed.
    ...(echo && logprobs !== null && { cachePrompt: false }),
  };
  const choices = prompts.length * Math.max(options.bestOf ?? 1, options.n ?? 1, numBeams ?? 1);
  if (choices > limits.choices) {
    throw new ApiError(
      400,
      "invalid_request",
      `The request asks for ${choices} continuations at once; at most ${limits.choices} are made.`,
      { param: "prompt" },
    );
  }
  const includeUsage = body.stream_options?.include_usage === true;
  const structureParam = structure?.param ?? null;
  return { prompts, choices, options, structureParam, logprobs, echo, suffix, includeUsage };
}

/** What follows the middle that is asked for. @throws ApiError 400 for what does not go with it */
function askedSuffix({ suffix, echo }: CompletionRequest, prompts: readonly Prompt[]): string | null {
  if (suffix == null || suffix === "") return null;
  if (echo === true) {
    throw new ApiError(400, "invalid_request", "echo cannot be combined with suffix.", { param: "echo" });
  }
  if (!prompts.every((prompt) => typeof prompt === "string")) {
    const why = "suffix belongs to prompts that are texts: their middle is asked for, not that of token ids.";
    throw new ApiError(400, "invalid_request", why, { param: "suffix" });
  }
  return replaceLoneSurrogates(suffix);
}

/** What is tokenised of a text, and given back: half of a surrogate pair is U+FFFD. */
function wellFormed(prompt: Prompt): Prompt {
  return typeof prompt === "string" ? replaceLoneSurrogates(prompt) : prompt;
}

/** Whether a prompt is several: a list of texts, or of lists. */
function isList(prompt: CompletionRequest["prompt"]): prompt is string[] | number[][] {
  return Array.isArray(prompt) && prompt.length > 0 && typeof prompt[0] !== "number";
}

/** Puts an answer together, whole or in chunks. */
class Answer {
  readonly #model: ModelService;
  readonly #plan: Plan;
  readonly #prompts: readonly (readonly number[])[];
  readonly #envelope: object;
  readonly #chunks: ChunkText;
  readonly #n: number;
  readonly #tokenizer: Tokenizer | null;
  /** By choice. */
  readonly #logprobs: CompletionLogprobs[] = [];

  constructor(
    { version }: Service,
    model: ModelService,
    plan: Plan,
    prompts: readonly (readonly number[])[],
  ) {
    this.#model = model;
    this.#plan = plan;
    this.#prompts = prompts;
    this.#n = plan.options.n ?? 1;
    this.#tokenizer = model.engine.model.tokenizer;
    this.#envelope = {
      id: `cmpl-${crypto.randomUUID()}`,
      object: "text_completion",
      created: Math.floor(Date.now() / 1000),
      model: model.served.id,
      system_fingerprint: `lastrow-${version}`,
    };
    this.#chunks = new ChunkText(this.#envelope, plan.includeUsage);
  }

  /** The prompts, where they are given back, by prompt. */
  async echoes(exchange: Exchange): Promise<readonly Echo[]> {
    const { echo, logprobs, prompts } = this.#plan;
    if (!echo) return [];
    const { engine, texts } = this.#model;
    const echoes: Echo[] = [];
    for (const [i, tokens] of this.#prompts.entries()) {
      const given = prompts[i];
      const text =
        typeof given === "string"
          ? given
          : ((await texts?.decode(tokens, { skipSpecialTokens: true, caller: callerOf(exchange) })) ?? "");
      const scored =
        logprobs === null ? [] : await promptLogprobs(engine.model, tokens, logprobs, callerOf(exchange));
      echoes.push({ text, scored });
    }
    return echoes;
  }

  whole(finished: Finished, echoes: readonly Echo[]): Promise<string> {
    const { cost } = finished;
    const end = { usage: usageOf(cost), timings: timingsOf(cost) };
    return wholeText(this.#envelope, this.#wholeChoices(finished, echoes), end);
  }

  async *#wholeChoices({ choices }: Finished, echoes: readonly Echo[]): AsyncGenerator<string> {
    for (const [choice, { text, logprobs, finishReason }] of choices.entries()) {
      const echo = echoes[Math.floor(choice / this.#n)];
      const scored = [...(echo?.scored ?? []), ...scoredTokens(logprobs)];
      const said = { index: choice, text: (echo?.text ?? "") + text };
      yield choiceText(said, await this.#logprobsText(choice, scored), finishReason);
    }
  }

  /** A chunk for each choice, with its prompt. */
  async *echoChunks(echoes: readonly Echo[]): AsyncGenerator<string> {
    for (const [i, { text, scored }] of echoes.entries()) {
      for (let k = 0; k < this.#n; k++) {
        const index = i * this.#n + k;
        yield this.#chunks.chunk(choiceText({ index, text }, await this.#logprobsText(index, scored), null));
      }
    }
  }

  chunk(choice: number, text: string, logprobs: readonly GeneratedLogprobs[] | undefined): string {
    return this.#chunk(choice, text, scoredTokens(logprobs), null);
  }

  /** Why each choice has ended, and the usage if it is wanted. */
  *lastChunks({ choices, cost }: Finished): Generator<string> {
    const timings = timingsOf(cost);
    for (const [i, { finishReason }] of choices.entries()) {
      yield this.#chunk(i, "", [], finishReason, i === choices.length - 1 ? timings : undefined);
    }
    yield* this.#chunks.usage(usageOf(cost));
  }

  #chunk(
    choice: number,
    text: string,
    scored: readonly ScoredToken[],
    finishReason: string | null,
    timings?: object,
  ): string {
    const logprobs =
      this.#plan.logprobs === null || finishReason !== null ? null : this.#logprobsOf(choice).body(scored);
    const said = choiceText({ index: choice, text }, JSON.stringify(logprobs), finishReason);
    return this.#chunks.chunk(said, timings);
  }

  /** As JSON. */
  #logprobsText(choice: number, scored: readonly ScoredToken[]): Promise<string> | "null" {
    const { logprobs } = this.#plan;
    if (logprobs === null) return "null";
    const shown = this.#logprobsOf(choice);
    return listsText(shownPerTurn(scored, logprobs, (some) => shown.body(some)));
  }

  #logprobsOf(choice: number): CompletionLogprobs {
    const before = this.#plan.echo ? [] : this.#prompts[Math.floor(choice / this.#n)];
    this.#logprobs[choice] ??= new CompletionLogprobs(this.#tokenizer, before);
    return this.#logprobs[choice];
  }
}

function scoredTokens(logprobs: readonly GeneratedLogprobs[] | undefined): readonly ScoredToken[] {
  return logprobs ?? [];
}
