/** `/v1/sequences` and `/v1/saved-sequences`: sequences that a client holds, forks, cuts back and adds to, whose rows stay computed meanwhile. */
import type { Sequence } from "../../client/sequence.js";
import { keptBytes } from "../../kv-cache/block-needs.js";
import type { Prompt } from "../../library/generate-options.js";
import type { LanguageModel } from "../../library/language-model.js";
import { logNormalizer, topLogprobs } from "../../sampling/logprobs.js";
import { ApiError } from "../api-error.js";
import type { Exchange } from "../exchange.js";
import { failureOf } from "../generation-service.js";
import type { ExpectRoom } from "../held-sequences.js";
import { requestSalt } from "../keys.js";
import type { ModelService } from "../model-service.js";
import {
  appendRequest,
  createSequenceRequest,
  forkRequest,
  restoreRequest,
  savedListResponse,
  savedParams,
  savedRequest,
  savedResponse,
  sequenceListResponse,
  sequenceParams,
  sequenceResponse,
  truncateRequest,
} from "../schemas/sequences.js";
import type { HeldInModel } from "../served-models.js";
import { callerOf, expectFitting, promptTokens, type Service, takeTurn } from "../service.js";
import { tokenText } from "../token-text.js";
import { type App, type AppContext, route, routeWithBody } from "./routing.js";

const PATH = "/v1/sequences";
const ONE = `${PATH}/{id}`;
const SAVED = "/v1/saved-sequences";

export function addSequences(app: App, service: Service): void {
  const { limits, models } = service;
  const heldBy = (context: AppContext): HeldInModel =>
    models.useHeld(context.get("exchange"), context.req.param("id") ?? "");
  const shown = (context: AppContext, of: HeldInModel, top?: number | null) =>
    context.json(describe(of, top ?? null));

  routeWithBody(
    app,
    {
      method: "post",
      path: PATH,
      summary: "Begin a sequence.",
      body: createSequenceRequest(limits),
      response: sequenceResponse,
    },
    service,
    async (context, body) => {
      const exchange = context.get("exchange");
      const model = await service.model(body.model, exchange);
      await takeTurn(exchange, 1);
      const [tokens] = await promptTokens(model, [body.prompt], exchange);
      const lm = model.engine.model;
      const { signal } = exchange;
      const { name: tenant } = exchange.principal!;
      const salt = requestSalt(exchange.principal!, body.cache_salt);
      const held = await model.sequences.add(exchange, lm, tokens.length, () =>
        guarded(model, lm, () => lm.sequence(tokens, { salt, tenant, signal }), exchange),
      );
      return shown(context, { model, held }, body.top_logprobs);
    },
  );
  addSaving(app, service, heldBy);
  route(
    app,
    { method: "get", path: PATH, summary: "The sequences that you hold.", response: sequenceListResponse },
    (context) => {
      const data = models.held(context.get("exchange").principal!).map((of) => describe(of, null));
      return context.json({ object: "list", data });
    },
  );
  route(
    app,
    { method: "get", path: ONE, summary: "A sequence.", params: sequenceParams, response: sequenceResponse },
    (context) => shown(context, heldBy(context)),
  );
  route(
    app,
    {
      method: "delete",
      path: ONE,
      summary: "Delete a sequence.",
      params: sequenceParams,
      response: "none",
    },
    async (context) => {
      const { model, held } = heldBy(context);
      await model.sequences.remove(held);
      return context.body(null, 204);
    },
  );
  routeWithBody(
    app,
    {
      method: "post",
      path: `${ONE}/append`,
      summary: "Add to a sequence.",
      params: sequenceParams,
      body: appendRequest(limits),
      response: sequenceResponse,
      before: heldBy,
    },
    service,
    async (context, { prompt, top_logprobs }) => {
      const exchange = context.get("exchange");
      const { model, held } = heldBy(context);
      await takeTurn(exchange, 1);
      const tokens = await addedTokens(model, prompt, exchange);
      return model.sequences.inTurn(held, exchange, tokens.length, async () => {
        const { signal } = exchange;
        await guarded(model, held.model, () => held.sequence.append(tokens, { signal }), exchange);
        return shown(context, { model, held }, top_logprobs);
      });
    },
  );
  routeWithBody(
    app,
    {
      method: "post",
      path: `${ONE}/truncate`,
      summary: "Cut a sequence back to its first tokens.",
      params: sequenceParams,
      body: truncateRequest,
      response: sequenceResponse,
      before: heldBy,
    },
    service,
    async (context, { length }) => {
      const exchange = context.get("exchange");
      const { model, held } = heldBy(context);
      await takeTurn(exchange, 1);
      return model.sequences.inTurn(held, exchange, 0, async () => {
        const { signal } = exchange;
        await guarded(model, held.model, () => held.sequence.truncate(length, { signal }), exchange);
        return shown(context, { model, held });
      });
    },
  );
  routeWithBody(
    app,
    {
      method: "post",
      path: `${ONE}/fork`,
      summary: "A second sequence with the same history.",
      params: sequenceParams,
      body: forkRequest,
      response: sequenceResponse,
      before: heldBy,
    },
    service,
    async (context) => {
      const { model, held } = heldBy(context);
      const exchange = context.get("exchange");
      await takeTurn(exchange, 1);
      return model.sequences.inTurn(held, exchange, 0, async () => {
        const { model: lm, sequence } = held;
        const fork = () => guarded(model, lm, () => sequence.fork());
        const forked = await model.sequences.add(exchange, lm, sequence.length, fork);
        return shown(context, { model, held: forked });
      });
    },
  );
}

/** Saving under a name, sequences from what was saved, and what there is of it. */
function addSaving(app: App, service: Service, heldBy: (context: AppContext) => HeldInModel): void {
  const folder = () => {
    if (service.saved !== null) return service.saved;
    throw new ApiError(
      403,
      "saving_disabled",
      "This server does not save sequences; start it with --save-dir FOLDER.",
    );
  };
  routeWithBody(
    app,
    {
      method: "post",
      path: `${ONE}/save`,
      summary: "Save a sequence under a name.",
      params: sequenceParams,
      body: savedRequest,
      response: savedResponse,
      before: heldBy,
    },
    service,
    async (context, { name }) => {
      const { model, held } = heldBy(context);
      const exchange = context.get("exchange");
      await takeTurn(exchange, 1);
      const saved = folder();
      const bytes = await model.sequences.inTurn(held, exchange, 0, () =>
        guarded(model, held.model, () => saved.save(exchange.principal!, name, held.sequence)),
      );
      return context.json({ id: held.id, name, bytes });
    },
  );
  /** How a saved sequence becomes one of a model. */
  const restoring = (exchange: Exchange, model: ModelService, name: string) => {
    const lm = model.engine.model;
    const { signal } = exchange;
    const { name: tenant, salt } = exchange.principal!;
    const path = folder().path(exchange.principal!, name);
    const make = (expectRoom: ExpectRoom) =>
      guarded(model, lm, () => lm.restore(path, { salt, tenant, signal, expectRoom }), exchange);
    return { model: lm, make };
  };
  routeWithBody(
    app,
    {
      method: "post",
      path: `${PATH}/restore`,
      summary: "A new sequence from a saved one.",
      body: restoreRequest,
      response: sequenceResponse,
    },
    service,
    async (context, { name, model: asked }) => {
      const exchange = context.get("exchange");
      const model = await service.model(asked, exchange);
      await takeTurn(exchange, 1);
      const { model: lm, make } = restoring(exchange, model, name);
      // How long it is shows once its file is open.
      const held = await model.sequences.add(exchange, lm, 0, make);
      return context.json(describe({ model, held }, null));
    },
  );
  routeWithBody(
    app,
    {
      method: "post",
      path: `${ONE}/restore`,
      summary: "Put a saved sequence in a held one's place.",
      params: sequenceParams,
      body: savedRequest,
      response: sequenceResponse,
      before: heldBy,
    },
    service,
    async (context, { name }) => {
      const { model, held } = heldBy(context);
      const exchange = context.get("exchange");
      await takeTurn(exchange, 1);
      return model.sequences.replace(held, exchange, restoring(exchange, model, name), () =>
        context.json(describe({ model, held }, null)),
      );
    },
  );
  route(
    app,
    {
      method: "get",
      path: SAVED,
      summary: "The sequences that you have saved.",
      response: savedListResponse,
    },
    async (context) => {
      const files = await folder().list(context.get("exchange").principal!);
      const data = files.map((file) => ({ object: "saved_sequence" as const, ...file }));
      return context.json({ object: "list", data });
    },
  );
  route(
    app,
    {
      method: "delete",
      path: `${SAVED}/{name}`,
      summary: "Delete a saved sequence.",
      params: savedParams,
      response: "none",
    },
    async (context) => {
      await folder().remove(context.get("exchange").principal!, context.req.param("name") ?? "");
      return context.body(null, 204);
    },
  );
}

/** Token ids of what is added: text as it is, without the tokens that begin one. */
async function addedTokens(
  model: ModelService,
  prompt: Prompt,
  exchange: Exchange,
): Promise<readonly number[]> {
  if (typeof prompt !== "string" || model.texts === null) {
    return typeof prompt === "string" ? model.engine.model.promptTokens(prompt) : prompt;
  }
  expectFitting(model, prompt.length, "prompt");
  return model.texts.encode(prompt, { addSpecialTokens: false, caller: callerOf(exchange) });
}

function describe({ model: { served, engine }, held }: HeldInModel, top: number | null) {
  const { id, sequence, created, expires } = held;
  return {
    id,
    object: "sequence" as const,
    model: served.id,
    created,
    expires_at: Math.floor(expires),
    length: sequence.length,
    bytes: keptBytes(served.info.kv.kinds, sequence.length),
    tokens: sequence.tokens,
    cached_tokens: sequence.numCachedTokens,
    ...(top !== null && { top_logprobs: likeliest(sequence, engine.model, top) }),
  };
}

function likeliest({ logits }: Sequence, { tokenizer }: LanguageModel, count: number) {
  return topLogprobs(logits, count, logNormalizer(logits)).map(({ token, logprob }) => ({
    token: tokenText(tokenizer, token),
    id: token,
    logprob,
  }));
}

/** What is asked of an engine, which may be lost meanwhile. @throws ApiError 503 then; what `work` throws */
async function guarded<T>(
  { engine }: ModelService,
  lm: LanguageModel,
  work: () => Promise<T>,
  exchange?: Pick<Exchange, "signal" | "reason">,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    // Why it was cancelled is more than that it was.
    if (exchange?.signal.aborted) throw exchange.reason;
    throw failureOf(engine, lm, error);
  }
}
