/** What a model's makers call its parts, and what it is, for the tour's sentences. */
export interface TourModel {
  readonly embedding: string;
  readonly hasLearnedPositions: boolean;
  readonly qkv: string;
  readonly isQkvOne: boolean;
  readonly attentionOut: string;
  readonly isParallel: boolean;
  readonly head: string;
  readonly norm: "layer" | "rms";
  /** What stands before attention: the embedding, and what makes queries, keys and values. */
  readonly front: string;
  /** Of the layers that have one. */
  readonly window: string | null;
}

/** Rows through the model, as the page writes it: a line does not end inside. */
const ALL_ROWS = "(M + 1) L + M (M + 1) / 2".replaceAll(" ", "\u00a0");
const NEW_ROWS = "L + M".replaceAll(" ", "\u00a0");

/** Every sentence of the page, in English. Its shape is the shape of all languages. */
export const en = {
  title: "lastrow explorer",
  skip: "Skip to the view",
  nav: {
    label: "Views",
    runs: "Two runs",
    step: "Inside one step",
    cache: "The cache",
    next: "Next token",
  },
  talk: "Talk to the server's model",
  toLanguage: "中文",
  toLanguageLabel: "切换到中文",
  theme: { toDark: "Dark mode", toLight: "Light mode" },
  engine: {
    loading: "Loading the model into this page",
    bytes: (loaded: string, total: string) => `${loaded} of ${total} MB`,
    facts: (f: {
      label: string;
      parameters: string;
      layers: number;
      dtype: string;
      threads: number;
      kv: string;
    }) =>
      `${f.label} · ${f.parameters} parameters · ${f.layers} ${f.layers === 1 ? "layer" : "layers"} · ${f.dtype} · WebAssembly, ${f.threads === 1 ? "1 thread" : `${f.threads} threads`} · ${f.kv} bytes of K and V a token`,
    local: "The model runs in this page. Nothing you type is sent anywhere, and no model that you load.",
    singleThreaded:
      "This page came without isolation headers (COOP and COEP), so the browser shares no memory between threads: the engine runs on one thread. Slower, same bits.",
    failed: "The model cannot run here",
    retry: "Try again",
  },
  model: {
    label: "Model",
    own: "Load your own model",
    back: "Back to the embedded model",
    notServed: "runs in this page, and is not the one that the server has",
    norms: { layer: "layer norm", rms: "RMS norm" },
    positions: { learned: "learned positions", rotary: "rotary positions" },
    mlp: (activation: string, isGated: boolean) => `${isGated ? "gated MLP" : "MLP"} (${activation})`,
    parallel: "attention and MLP side by side",
    groups: (heads: number, kvHeads: number) => `${heads} query heads share ${kvHeads} of K and V`,
    window: (window: string, layers: number, of: number) =>
      `a window of ${window} in ${layers === of ? "every layer" : `${layers} of ${of} layers`}`,
    title: "Your own model",
    lead: "It is read from your disk into the memory of this page, and runs here. Nothing is uploaded.",
    formats:
      "A folder with config.json, tokenizer.json and *.safetensors, as Hugging Face has it; or a .gguf file, with all its shards.",
    drop: "Drop a folder or files here",
    folder: "Choose a folder",
    files: "Choose files",
    address: "Or a web address of a .gguf file, or of the folder with config.json",
    look: "Open",
    looking: "Reading what it is, and what it takes …",
    failed: "This model cannot be loaded.",
    parameters: "parameters",
    weights: "for weights",
    kv: "for K and V",
    memory: "memory in all",
    dtype: "Weights",
    dtypes: { auto: "as they are stored", f32: "f32", f16: "f16", bf16: "bf16", int8: "int8", int4: "int4" },
    context: "Context",
    contextTokens: (count: string) => `${count} tokens`,
    load: "Load it",
    another: "Choose another",
    cancel: "Cancel",
    close: "Close",
    progress: (loaded: string, total: string, rate: string) => `${loaded} of ${total}, ${rate} a second`,
    loading: "Loading",
    starting: "Getting the memory …",
    copy: (bytes: string) =>
      `This part of the page runs a copy of the model of its own, which takes ${bytes} more.`,
    loadCopy: "Load the copy",
    ids: "Prompt, as token ids: this model has no tokenizer",
  },
  errors: {
    runtime_unsupported:
      "This browser has no WebAssembly SIMD, which the kernels need. Chrome 91, Firefox 89, Safari 16.4 and everything newer have it.",
    memory_limit_exceeded:
      "The browser did not give enough memory for the model. Close other tabs, or try on a device with more memory.",
    kv_memory_exhausted:
      "The KV cache is full: these tokens need more blocks than its budget has, even alone. Give it more blocks, or ask for fewer tokens.",
    context_length_exceeded: (limit: number) =>
      `The prompt is longer than the model's context of ${limit} tokens. Shorten it.`,
    out_of_memory: "The browser ran out of memory. Close other tabs, then reload the page.",
    fetch:
      "Files of this page or of the model could not be fetched. Check the connection, or the folder that this page is served from.",
    other: (message: string) => `Something went wrong: ${message}`,
  },
  timeline: { play: "Play", pause: "Pause", at: (at: string, of: string) => `event ${at} of ${of}` },
  runs: {
    title: "The same text twice. One run does a fraction of the work.",
    lead: "Only the last row of the logits chooses the next token, and of the earlier rows it needs K and V, nothing else. One run feeds all rows through the model again for each token; the other keeps K and V, and feeds only the new row. Both are computed for real, in turns.",
    prompt: "Prompt",
    tokens: "Tokens",
    pace: "Pace",
    paces: { full: "full speed", slow: "slow", slower: "slower" },
    seed: "Seed",
    run: "Run both",
    stop: "Stop",
    recompute: "Recompute",
    cached: "With the KV cache",
    text: (way: string) => `${way}: its text`,
    recomputeSays: "feeds every row, every time",
    cachedSays: "feeds the new row, keeps K and V",
    rows: "rows through the model",
    formula: {
      recompute: (prompt: string, fed: string, value: string) =>
        `L = ${prompt}, M = ${fed}: ${ALL_ROWS}\u00a0=\u00a0${value}`,
      cached: (prompt: string, fed: string, value: string) =>
        `L = ${prompt}, M = ${fed}: ${NEW_ROWS}\u00a0=\u00a0${value}`,
    },
    key: "A column for each step, in it the rows of the text so far. L: tokens of the prompt. M: tokens that were generated and fed back.",
    outcome: "What came of it",
    ms: "ms in the model",
    steps: "steps",
    rowMap: (way: string, rows: string, steps: string) =>
      `${way}: a column for each of ${steps} steps, a mark for each of ${rows} rows that went through the model`,
    legend: { fed: "row fed", last: "last row", kept: "K and V kept" },
    gain: { time: ["", "× faster with the KV cache"], rows: ["", "× fewer rows"] },
    verdict: {
      none: "No step of both to compare yet",
      same: (steps: string, logits: string) =>
        `Identical so far: ${steps} steps, ${logits} logits, every bit`,
      final: (steps: string, logits: string) => `Identical: ${steps} steps, ${logits} logits, every bit`,
      different: (steps: string) => `Different bits in ${steps} steps`,
    },
    bits: "Logits of each step, compared as bits",
    bitsCell: (step: string, logits: string) => `Step ${step}: ${logits} logits, all bits equal`,
    bitsCellDifferent: (step: string, index: number) => `Step ${step}: logit ${index} has other bits`,
    bitsCellPending: (step: string) => `Step ${step}: not compared yet`,
    timeChart: "Time of each step, ms",
    rowsChart: "Rows through the model so far",
    timeNote: "dots: measured · lines: rows by formula × the run's mean time a row",
    rowsNote: `dots: counted · lines: ${ALL_ROWS} and ${NEW_ROWS}`,
    cursor: "Event",
    step: "step",
    table: "The numbers, as a table",
    columns: {
      step: "Step",
      token: "Token",
      rows: "Rows",
      ms: "ms",
      bits: "Bits",
    },
    same: "same",
    pending: "…",
  },
  cache: {
    title: "Blocks of keys and values, and the sequences that hold them.",
    lead: "K and V live in blocks of 16 rows. Requests that begin alike share blocks, continuations fork, and when the budget is spent the youngest request gives way and comes back. Everything below is the engine's own stream of events; the slider goes back through it.",
    scenarios: "Things to watch",
    scenario: {
      share: {
        name: "Common beginnings",
        says: "Four prompts that begin alike: one computes the beginning, the others find it.",
      },
      fork: {
        name: "Forks",
        says: "One prompt, five continuations: they share its blocks, and copy one when they write.",
      },
      preempt: {
        name: "A small budget",
        says: "Six prompts, too few blocks: some lose theirs, and come back with the same bits.",
      },
      window: {
        name: "Windows",
        says: "One long prompt: blocks that no later row sees are given back, layer by layer.",
      },
    },
    own: "Your own prompts and budget",
    prompts: "Prompts, one a line",
    idPrompts: "Prompts of token ids, one a line",
    kinds: "Kinds of layers",
    kind: (k: { window: string | null; layers: number; groups: number }) =>
      `${k.layers} ${k.layers === 1 ? "layer" : "layers"} ${k.window === null ? `that ${k.layers === 1 ? "sees" : "see"} all rows` : `with a window of ${k.window} rows`}${k.groups === 1 ? "" : `, in ${k.groups} groups`}`,
    kindHolds: (held: string, givenBack: string | null) =>
      givenBack === null ? `holds ${held}` : `holds ${held} · ${givenBack} given back`,
    seesAll: "all",
    seesWindow: (window: string) => `last ${window}`,
    behind: (blocks: number) => `${blocks} behind`,
    givenBack: "given back by windows",
    forks: "Continuations",
    tokens: "Tokens each",
    budget: "Budget",
    blocks: (count: number) => `${count} blocks`,
    run: "Run",
    clear: "Empty the cache",
    cursor: "Event",
    pace: "Pace",
    paces: { fast: "fast", steady: "steady", slow: "slow" },
    step: (step: string) => `step ${step}`,
    loading: "Loading the model with an empty cache …",
    firstPass: "Computing the prompts' first rows …",
    nothingYet: "Nothing has happened yet. Choose something to watch, or write your own prompts.",
    blocksTitle: (count: string) => `${count} blocks of 16 rows`,
    grid: "Blocks of the KV cache; arrow keys go from one to the next",
    block: (b: {
      number: number;
      state: string;
      owners: string;
      rows: number;
      evictions: number;
      window: string | null;
      isGivenBack: boolean;
    }) =>
      `Block ${b.number}: ${b.state}${b.owners === "" ? "" : ` (${b.owners})`}, ${b.rows} of 16 rows${b.window === null ? "" : `, of layers with a window of ${b.window}`}${b.isGivenBack ? ", given back" : ""}${b.evictions > 0 ? `, evicted ${b.evictions}×` : ""}`,
    states: { held: "held by one", shared: "shared", cached: "cached, held by none", free: "free" },
    sequences: "Sequences",
    statuses: { running: "running", preempted: "waits", ended: "done" },
    preempted: (times: number) => `preempted ${times}×`,
    blockTable: "block table",
    cost: (computed: string, found: string) => `${computed} rows computed, ${found} found in the cache`,
    noSequences: "No sequence has begun.",
    numbers: "The cache in numbers",
    bytes: "K and V held or cached",
    saved: "saved by sharing, now",
    hitRate: "rows found, of all needed",
    rowsComputed: "rows computed",
    rowsFound: "rows found",
    preemptions: "preemptions",
    evictions: "blocks evicted",
    copies: "copied on write",
    events: {
      allocated: (who: string, block: number) => `${who} takes block ${block} for new rows`,
      hit: (who: string, block: number) => `${who} finds block ${block}: its rows need not be computed`,
      shared: (who: string, block: number) => `${who} is forked, and shares block ${block}`,
      loaded: (who: string, block: number) =>
        `Block ${block} comes from the KV tier: ${who} holds it for a sequence that waits`,
      published: (who: string, block: number) => `Block ${block} of ${who} is full: others can find it`,
      written: (who: string, count: number, from: number, to: number) =>
        count === 1 ? `${who} writes row ${from}` : `${who} writes ${count} rows, ${from} to ${to}`,
      copied: (who: string, from: number, to: number) =>
        `${who} copies block ${from} to ${to} before it writes`,
      released: (who: string, block: number, left: number) =>
        left === 0
          ? `${who} lets go of block ${block}; none holds it now`
          : `${who} lets go of block ${block}; ${left} still hold it`,
      evicted: (block: number) => `Block ${block} is needed: what it held can no longer be found`,
      preempted: (who: string) => `${who} is preempted: it lost its blocks to others, and waits`,
      step: (rows: number, sequences: number) =>
        `A forward pass of ${rows} ${rows === 1 ? "row" : "rows"}, of ${sequences} ${sequences === 1 ? "sequence" : "sequences"}`,
    },
  },
  next: {
    title: "One row of logits, and everything that could follow.",
    lead: "The last row of the logits gives every token of the vocabulary a score. Temperature, top-k and top-p decide what may be drawn. Click a token to fork there: the branch shares all K and V of the text so far, and computes one row.",
    prompt: "Prompt",
    start: "Start here",
    textTitle: "The text so far",
    sample: (count: number) => `Fork, and sample ${count} tokens`,
    branches: "Branches",
    branchesNote:
      "Each is a sequence of the engine, forked from the one above it. Only the rows that it computed are new; K and V of the others are shared.",
    branchCost: (computed: string, shared: string) => `${computed} computed, ${shared} shared`,
    candidates: "Likeliest next tokens",
    fork: "Fork with",
    model: "the model's own",
    after: "after sampling options",
    space: "· is a space",
    temperature: "Temperature",
    greedy: "0, greedy",
    topK: "Top-k",
    topP: "Top-p",
    off: "off",
    kept: (kept: string, of: string, share: string) =>
      `${kept} of ${of} tokens can be drawn; the model gives them ${share} % together.`,
  },
  step: {
    title: "Follow the last row backwards.",
    lead: "The figures are drawn from a trace: the model's own forward pass on kernels that note which rows each row was made from. Point at a row to see where it came from and what it feeds.",
    way: "Run",
    figure: "Figure",
    figures: { inference: "Whole inference", attention: "Attention inside" },
    layer: "Layer",
    step: "Step",
    tensor: "Follow a row of",
    row: "Row",
    letGo: "Let go",
    followHint: "Point at a row of the figure; click it to keep it.",
    chooseHint: "Or choose a row here.",
    relations: { self: "that row", from: "it was made from", feeds: "it feeds" },
    follows: (tensor: string, row: number) => `Row ${row} of ${tensor} is made from `,
    rowsOf: (tensor: string, from: number, to: number, of: number) =>
      from === to
        ? `row ${from} of ${tensor}`
        : from === 0 && to === of - 1
          ? `all ${of} rows of ${tensor}`
          : `rows ${from} to ${to} of ${tensor}`,
    and: " and ",
    given: "what was there before the pass.",
    rows: "rows fed in this step",
    multiplyAdds: "multiply-adds of its trace",
    bytes: "bytes of K and V, in blocks of 16 rows",
    savedByGroups: (s: { heads: number; kvHeads: number; now: string; otherwise: string }) =>
      `${s.heads} query heads share ${s.kvHeads} ${s.kvHeads === 1 ? "head" : "heads"} of K and V: ${s.now} bytes a token, not ${s.otherwise}.`,
    savedByWindows: (s: { now: string; otherwise: string }) =>
      `Windows have given back what no later row sees: without them these rows would keep ${s.otherwise} bytes, not ${s.now}.`,
    contextWithWindows: (s: { context: string; now: string; otherwise: string }) =>
      `With its windows a full context of ${s.context} rows keeps ${s.now} bytes, without them ${s.otherwise}.`,
    attention: (layer: string) => `What attention looks at in ${layer}`,
    head: "Head",
    heatMap: (head: number, queries: number, keys: number) =>
      `Attention weights of head ${head}: ${queries} ${queries === 1 ? "query" : "queries"} by ${keys} keys; the strongest of the last query are listed beside it`,
    pointAtCell: "A row for each query, a column for each key. Point at a cell.",
    looksAt: (query: string, at: number, key: string, keyAt: number, share: string) =>
      `“${query}” (${at}) gives ${share} of its attention to “${key}” (${keyAt}).`,
    strongest: (query: string) => `The last row, “${query}”, looks at`,
    ramps: {
      cached: "keys from the cache",
      earlier: "earlier keys",
      own: "the last row's own key",
      behind: "out of the window",
    },
    rampNote: "From 0 % to 100 %; shades go by the square root, so that small weights are seen.",
    cachedShare: (cached: string, own: string) =>
      `${cached} of its attention goes to cached keys, ${own} to the new one.`,
    sameBits: "Computed again with a look at Q and K; its logits have the same bits as the run's.",
    otherBits: "The logits of this look have other bits than the run's.",
    computing: "Computing the attention weights …",
    figureLayer: (at: string, of: string) => `layer ${at} of ${of}`,
    figureHead: (layer: string, heads: string) =>
      `${layer}, one of ${heads} ${heads === "1" ? "head" : "heads"}`,
    figureShared: (heads: string, kvHeads: string) => `${heads} heads share ${kvHeads} of K and V`,
    figureWindow: (rows: string) => `a window of ${rows} rows`,
    figureWords: {} as Record<string, string>,
  },
  tour: {
    label: "Guided tour",
    start: "Guided tour",
    back: "Back",
    forward: "Next",
    end: "Finish",
    close: "Close the tour",
    count: (at: number, of: number) => `${at} of ${of}`,
    stops: {
      growth: {
        title: "Every token costs a whole inference",
        text: `A GPT writes one token at a time: it appends the token to its input and infers again. With a prompt of L tokens, and M generated ones that are fed back, ${ALL_ROWS} rows go through the model. In the run “Recompute” you see it: each column is an inference, and each is one row taller than the last.`,
      },
      claim: {
        title: `The claim: ${NEW_ROWS} is enough`,
        text: `Keep the keys and values of each token, and after the prompt feed only the new one: ${NEW_ROWS} rows. The run “With the KV cache” does that. The rest of this tour shows, from the model itself, why the answer is the same.`,
      },
      normal: {
        title: "An ordinary inference",
        text: (m: TourModel) =>
          `${m.embedding} ${m.hasLearnedPositions ? "turn tokens and positions" : "turns tokens"} into hidden states. ${m.qkv} ${m.isQkvOne ? "makes" : "make"} three of each: query, key, value${m.hasLearnedPositions ? "" : "; queries and keys turn by their position"}. Heads attend and are joined, ${m.attentionOut} mixes them${m.isParallel ? "; the MLP stands beside them, and both are added to the residual" : ", the residual is added; then the MLP, and its residual"}. After the last layer ${m.head} makes the logits.`,
      },
      lastRow: {
        title: "Only the last row matters",
        text: "The yellow band begins as the last token and becomes the last row of the logits: the next token. The rows above it mean nothing at inference. Could we compute the yellow ones alone? Follow them backwards and see what they need.",
      },
      rowByRow: {
        title: "Nearly everything works row by row",
        text: (m: TourModel) =>
          `${m.head} is a linear map: the last logits need the last hidden state. So do the MLP, the ${m.norm === "rms" ? "RMS norm (its mean runs along d_model)" : "layer norm (mean and variance run along d_model)"}, ${m.attentionOut}${m.hasLearnedPositions ? "" : ", the rotation"}, and at the front ${m.front}. Each last row needs its own last row, nothing more. Point at any of them.`,
      },
      attention: {
        title: "Attention alone looks sideways",
        text: (m: TourModel) =>
          `The last row of the output needs the last row of the scores and all of V. The last row of the scores needs the last row of Q and all of K${m.window === null ? "" : `; in layers with a window, the last ${m.window} rows of both`}. So what is kept is K and V. No stage asks for an old Q again: a KV cache, not a QKV cache.`,
      },
      reduced: {
        title: "Attention without what is not needed",
        text: "Leave the unneeded rows out: one row of Q meets all keys, one row of weights meets all values. Blue rows come from the cache. The heat map further down shows where this very row looks: at cached keys, and at its own.",
      },
      whole: {
        title: "The whole inference without it",
        text: "Now leave them out everywhere. The input is the last token, not the prompt. Before attention its key and value join those that were kept; that is all the past that is needed.",
      },
      bits: {
        title: "The same, to the bit",
        text: "Both ways do the same operations on the last row, in the same order, so lastrow promises more than equal text: equal bits. Each green cell is a step whose logits were compared as integers, all of them.",
      },
      blocks: {
        title: "Kept once, shared by many",
        text: "Since K and V depend on nothing but the tokens before them, every request that begins alike can use them. Six prompts that begin alike run here with a small budget: they share blocks of 16 rows, the youngest lose theirs, wait, and come back. The bits stay the same.",
      },
    },
  },
};

export type Strings = typeof en;
