// Graphile Worker, on Node.js. As `adapter.py` beside these directories, in JavaScript: see the protocol in README.md there.

import dgram from "node:dgram";
import { createRequire } from "node:module";
import path from "node:path";
import { createInterface } from "node:readline";

// Its packages lie elsewhere: in the environment that was made of package.json.
const home = createRequire(path.join(process.env.PEER_HOME, "package.json"));
const { Logger, makeWorkerUtils, run, runMigrations } = home("graphile-worker");

const LOOPBACK = "127.0.0.1";
const BATCH = 1000;
const REPORT = 20;
// Jobs at once and connections; jobs locked by one claim.
const CONCURRENCY = 24;
const LOCAL_QUEUE = 2000;
const AT_ONCE = 10;
const SETTINGS =
  `concurrentJobs ${CONCURRENCY} (for waits ${AT_ONCE}), localQueue.size ${LOCAL_QUEUE} (for waits ${AT_ONCE}), ` +
  `completeJobBatchDelay 0, failJobBatchDelay 0, prepared statements; addJobs of ${BATCH}`;

const quiet = new Logger(() => () => {});
const say = (words) => process.stdout.write(JSON.stringify(words) + "\n");
// Milliseconds of CLOCK_MONOTONIC, which all processes share.
const now = () => Number(process.hrtime.bigint()) / 1e6;

let ran = 0;
let first = 0;

function count() {
  ran += 1;
  if (ran > 1) return;
  first = now() / 1000;
  if (!process.env.BENCH_EAR) return;
  const mouth = dgram.createSocket("udp4");
  let told = 0;
  setInterval(() => {
    if (ran === told) return;
    told = ran;
    const words = Buffer.alloc(24);
    words.writeBigInt64LE(BigInt(process.pid), 0);
    words.writeBigInt64LE(BigInt(told), 8);
    words.writeDoubleLE(first, 16);
    mouth.send(words, Number(process.env.BENCH_EAR), LOOPBACK);
  }, REPORT).unref();
}

const tasks = {
  nothing: async () => count(),
  compute: async () => {
    count();
    const before = process.cpuUsage();
    let used;
    do {
      used = process.cpuUsage(before);
    } while (used.user + used.system < 1000);
  },
  wait: async () => {
    count();
    await new Promise((resolve) => setTimeout(resolve, 5));
  },
  tell: async ({ port, number }) => {
    const words = Buffer.alloc(16);
    words.writeBigInt64LE(BigInt(number), 0);
    words.writeDoubleLE(now() / 1000, 8);
    const mouth = dgram.createSocket("udp4");
    mouth.send(words, port, LOOPBACK, () => mouth.close());
  },
};

const preset = (worker) => ({ worker: { schema: "graphile_worker", logger: quiet, ...worker } });

async function withUtils(url, calls) {
  const utils = await makeWorkerUtils({ preset: preset({ connectionString: url }), logger: quiet });
  await utils.withPgClient((client) => client.query("select 1"));
  const result = await calls(utils);
  await utils.release();
  return result;
}

async function timed(calls) {
  const started = now();
  await calls();
  return (now() - started) / 1000;
}

const verbs = {
  about: async () =>
    say({
      version: `graphile-worker ${version("graphile-worker")}, pg ${version("pg")}`,
      runtime: `Node.js ${process.versions.node}`,
      settings: SETTINGS,
      left: "SELECT id FROM graphile_worker._private_jobs ORDER BY id DESC LIMIT 1",
      stored: null,
    }),
  setup: async (url) => {
    await runMigrations({ preset: preset({ connectionString: url }), logger: quiet });
    say({ done: true });
  },
  fill: async (url, job, jobs) => {
    const calls = (utils) => async () => {
      for (let left = Number(jobs); left > 0; left -= BATCH) {
        const batch = Array.from({ length: Math.min(left, BATCH) }, () => ({ identifier: job, payload: {} }));
        await utils.addJobs(batch);
      }
    };
    say({ seconds: await withUtils(url, (utils) => timed(calls(utils))) });
  },
  single: async (url, jobs) => {
    const calls = (utils) => async () => {
      for (let number = 0; number < Number(jobs); number += 1) await utils.addJob("nothing", {});
    };
    say({ seconds: await withUtils(url, (utils) => timed(calls(utils))) });
  },
  pick_up: async (url, jobs) => {
    const ear = dgram.createSocket("udp4");
    await new Promise((resolve) => ear.bind(0, LOOPBACK, resolve));
    const { port } = ear.address();
    const milliseconds = [];
    await withUtils(url, async (utils) => {
      for (let number = -10; number < Number(jobs); number += 1) {
        await new Promise((resolve) => setTimeout(resolve, 10 + 30 * Math.random()));
        const heard = new Promise((resolve) => ear.once("message", resolve));
        const asked = now();
        await utils.addJob("tell", { port, number });
        const words = await heard;
        if (Number(words.readBigInt64LE(0)) !== number) throw new Error(`job ${number} was expected`);
        if (number >= 0) milliseconds.push(1000 * words.readDoubleLE(8) - asked);
      }
    });
    ear.close();
    say({ milliseconds });
  },
  work: async (url, row) => {
    const lines = createInterface({ input: process.stdin });
    const line = () => new Promise((resolve) => lines.once("line", resolve).once("close", resolve));
    const waits = row === "wait";
    const concurrentJobs = waits ? AT_ONCE : CONCURRENCY;
    const worker = {
      connectionString: url,
      concurrentJobs,
      maxPoolSize: concurrentJobs + 2,
      localQueue: { size: waits ? AT_ONCE : LOCAL_QUEUE },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
    };
    say({ ready: process.pid });
    await line();
    const runner = await run({ preset: preset(worker), taskList: tasks, noHandleSignals: true, parsedCronItems: [] });
    await line();
    await runner.stop();
    say({ stopped: true });
    process.exit(0);
  },
};

function version(name) {
  return home(path.join(process.env.PEER_HOME, "node_modules", name, "package.json")).version;
}

const [verb, ...rest] = process.argv.slice(2);
await verbs[verb](...rest);
