/** Every metric that the alerts and the dashboard of deploy/ name is one that servers have, with the labels that are asked for. */
import { expect, test } from "vitest";
import { Metrics } from "../../src/server/metrics.js";
import { read, type Yaml, yaml } from "./deploy-files.js";

/** Names of what servers tell, each with its labels. */
async function known(): Promise<Map<string, readonly string[]>> {
  const sources = { waiting: () => 0, answerBytes: () => 0, models: async () => [] };
  const { registry, processRegistry } = new Metrics(["stories"], sources, true);
  const names = new Map<string, readonly string[]>();
  const told = [
    { registry, common: ["model_name", "instance", "job"] },
    { registry: processRegistry, common: ["instance", "job"] },
  ];
  for (const { registry, common } of told) {
    for (const metric of registry.getMetricsAsArray() as Yaml[]) {
      const { type, name } = await metric.get();
      const labels = [...common, ...(metric.labelNames ?? [])];
      if (type !== "histogram") names.set(name, labels);
      else for (const end of ["_bucket", "_sum", "_count"]) names.set(name + end, [...labels, "le"]);
    }
  }
  return names;
}

interface Query {
  readonly of: string;
  readonly expr: string;
}

function queries(): Query[] {
  const alerts = yaml("prometheus/alerts.yml")[0].groups.flatMap(({ rules }: Yaml) =>
    rules.map(({ alert, expr }: Yaml) => ({ of: alert, expr })),
  );
  const { panels, templating } = JSON.parse(read("grafana/lastrow.json"));
  const shown = panels.flatMap(({ title, targets = [] }: Yaml) =>
    targets.map(({ expr }: Yaml) => ({ of: title, expr })),
  );
  const lists = templating.list.map(({ name, query }: Yaml) => ({ of: name, expr: query }));
  const scaled = yaml("keda/scaled-object.yaml")[0].spec.triggers;
  const counted = scaled.map(({ metadata }: Yaml) => ({ of: "KEDA", expr: metadata.query }));
  return [...alerts, ...shown, ...lists, ...counted];
}

const NAME = /\b(?:vllm|lastrow):\w+|\blastrow_\w+|\b(?:process|nodejs)_\w+/g;

test("servers tell every metric that is asked for", async () => {
  const names = await known();
  const asked = new Set<string>();
  for (const { of, expr } of queries()) {
    for (const [name] of expr.matchAll(NAME)) {
      expect(names.has(name), `${of}: ${name}`).toBe(true);
      asked.add(name);
    }
    for (const [, name, labels] of expr.matchAll(/([\w:]+)\{([^}]*)\}/g)) {
      if (!names.has(name)) continue;
      for (const [, label] of labels.matchAll(/(\w+)\s*(?:=|!)/g))
        expect(names.get(name), of).toContain(label);
    }
    for (const [, by] of expr.matchAll(/sum by \(([^)]*)\) \((?:rate|increase)\(lastrow_tier/g)) {
      const [, name] = new RegExp(`by \\(${by}\\) \\((?:rate|increase)\\(([\\w:]+)`).exec(expr)!;
      for (const label of by.split(", ")) expect(names.get(name), of).toContain(label);
    }
  }
  expect(asked.size).toBeGreaterThan(25);
});

test("of the tier, every metric is shown", async () => {
  const text = queries()
    .map(({ expr }) => expr)
    .join("\n");
  for (const name of (await known()).keys()) {
    if (name.startsWith("lastrow_tier_") && !/_(sum|count)$/.test(name)) expect(text).toContain(name);
  }
});

test("panels lie beside and below each other, and have what they need", () => {
  const { panels } = JSON.parse(read("grafana/lastrow.json"));
  const cells = new Set<string>();
  for (const { title, gridPos, type, targets, datasource } of panels) {
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        expect(cells.has(`${x} ${y}`), title).toBe(false);
        cells.add(`${x} ${y}`);
      }
    }
    if (type === "row") continue;
    expect(targets.length, title).toBeGreaterThan(0);
    // biome-ignore lint/suspicious/noTemplateCurlyInString: as Grafana writes it
    expect(datasource.uid).toBe("${datasource}");
  }
  expect(new Set(panels.map(({ id }: Yaml) => id)).size).toBe(panels.length);
});

test("Prometheus, Grafana and HAProxy are where the others look for them", () => {
  const { services } = yaml("compose.yaml")[0];
  const [config] = yaml("prometheus/prometheus.yml");
  const [, port] = /^:(\d+)$/.exec(services.haproxy.environment.LASTROW_PROXY_METRICS)!;
  expect(config.scrape_configs[1].static_configs[0].targets).toEqual([`haproxy:${port}`]);
  expect(services.prometheus.volumes).toEqual(["./prometheus:/etc/prometheus:ro"]);
  expect(yaml(`prometheus/${config.rule_files[0]}`)[0].groups).toBeDefined();
  expect(yaml("grafana/provisioning/datasources/prometheus.yml")[0].datasources[0].url).toBe(
    "http://prometheus:9090",
  );
  const [{ providers }] = yaml("grafana/provisioning/dashboards/lastrow.yml");
  expect(services.grafana.volumes).toContain(
    `./grafana/lastrow.json:${providers[0].options.path}/lastrow.json:ro`,
  );
  const jobs = config.scrape_configs.map(({ job_name }: Yaml) => job_name);
  for (const file of ["prometheus/alerts.yml", "keda/scaled-object.yaml"]) {
    for (const [, job] of read(file).matchAll(/job="(\w+)"/g)) expect(jobs, file).toContain(job);
  }
});
