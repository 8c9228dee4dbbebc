// SPDX-License-Identifier: MIT
// ioredis and node-redis against a kvserver of their own; `make clients` installs them and runs this.
// usage: node clients.js PATH_OF_KVSERVER
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import Redis from "ioredis";
import { createClient, commandOptions } from "redis";

const every = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
let passed = 0;
let failed = 0;

async function check(name, test) {
  try {
    await test();
    passed++;
    console.log(`ok ${passed + failed} - ${name}`);
  } catch (error) {
    failed++;
    console.log(`not ok ${passed + failed} - ${name}\n# ${String(error.stack).replaceAll("\n", "\n# ")}`);
  }
}

async function start(program) {
  const server = spawn(program, ["--port", "0"], { stdio: ["ignore", "pipe", "inherit"] });
  for await (const line of createInterface({ input: server.stdout })) {
    const ready = /ready on [^ ]+:(\d+),/.exec(line);
    assert(ready, line);
    return { server, port: Number(ready[1]) };
  }
  throw new Error("the server did not start");
}

async function tryIoredis(port) {
  const client = new Redis({ port, lazyConnect: true, retryStrategy: null, maxRetriesPerRequest: 1 });
  await check("ioredis connects and is ready", () => client.connect());
  await check("ioredis: values of any bytes", async () => {
    assert.equal(await client.set("io", every), "OK");
    assert.deepEqual(await client.getBuffer("io"), every);
  });
  await check("ioredis: options, numbers, nothing", async () => {
    assert.equal(await client.set("n", 1, "EX", 100, "NX"), "OK");
    assert.equal(await client.set("n", 1, "NX"), null);
    assert.equal(await client.incrby("n", 41), 42);
    assert.equal(await client.ttl("n"), 100);
    assert.deepEqual(await client.mget("n", "nothing"), ["42", null]);
  });
  await check("ioredis: a pipeline of 10,000", async () => {
    const pipeline = client.pipeline();
    for (let i = 0; i < 5000; i++) pipeline.set(`p${i}`, i).get(`p${i}`);
    const replies = await pipeline.exec();
    assert.equal(replies.length, 10000);
    replies.forEach(([error, reply], i) => assert.equal(error ?? reply, i % 2 ? String((i - 1) / 2) : "OK"));
  });
  await check("ioredis: automatic pipelining", async () => {
    const eager = new Redis({ port, enableAutoPipelining: true });
    const replies = await Promise.all(Array.from({ length: 1000 }, (_, i) => eager.set(`a${i}`, i)));
    assert(replies.every((reply) => reply === "OK"));
    await eager.quit();
  });
  await check("ioredis: scan stream", async () => {
    const seen = new Set();
    for await (const keys of client.scanStream({ match: "p*", count: 500 })) keys.forEach((key) => seen.add(key));
    assert.equal(seen.size, 5000);
  });
  await check("ioredis: errors", () => assert.rejects(client.call("NOSUCH", "a"), /unknown command 'NOSUCH'/));
  await check("ioredis: another keyspace, then the end", async () => {
    await client.select(3);
    assert.equal(await client.get("n"), null);
    assert.equal(await client.quit(), "OK");
  });
}

async function tryNodeRedis(port) {
  const client = createClient({ url: `redis://127.0.0.1:${port}/2`, name: "node", socket: { reconnectStrategy: false } });
  client.on("error", () => {});
  await check("node-redis connects", () => client.connect());
  await check("node-redis: values of any bytes", async () => {
    assert.equal(await client.set("node", every), "OK");
    assert.deepEqual(await client.get(commandOptions({ returnBuffers: true }), "node"), every);
  });
  await check("node-redis: options, numbers, nothing", async () => {
    assert.equal(await client.set("n", "1", { EX: 100, NX: true }), "OK");
    assert.equal(await client.set("n", "1", { NX: true }), null);
    assert.equal(await client.incrBy("n", 41), 42);
    assert.equal(await client.ttl("n"), 100);
    assert.deepEqual(await client.mGet(["n", "nothing"]), ["42", null]);
    assert.equal(await client.clientGetName(), "node");
  });
  await check("node-redis: 10,000 at once", async () => {
    const replies = await Promise.all(Array.from({ length: 10000 }, (_, i) => client.set(`q${i}`, String(i))));
    assert(replies.every((reply) => reply === "OK"));
    assert.equal(await client.dbSize(), 10002);
  });
  await check("node-redis: scan", async () => {
    const seen = new Set();
    for await (const key of client.scanIterator({ MATCH: "q*", COUNT: 500 })) seen.add(key);
    assert.equal(seen.size, 10000);
  });
  await check("node-redis: what the server says of itself", async () => {
    assert.match(await client.info("server"), /redis_version:/);
    assert((await client.commandCount()) > 50);
    assert.equal((await client.configGet("maxmemory")).maxmemory, "0");
    assert((await client.clientList()).some((entry) => entry.name === "node"));
  });
  await check("node-redis: errors", () => assert.rejects(client.sendCommand(["GET"]), /wrong number of arguments/));
  await check("node-redis: the end", () => client.quit());
}

const { server, port } = await start(process.argv[2]);
const ended = new Promise((resolve) => server.on("exit", (code) => resolve(code)));
await tryIoredis(port);
await tryNodeRedis(port);
server.kill("SIGTERM");
await check("the server ended well", async () => assert.equal(await ended, 0));
console.log(`1..${passed + failed}`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
