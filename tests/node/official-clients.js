// The official JavaScript client and the official Node server library in one process, driven by lines of JSON on
// standard input; whatever happens is a line of JSON on standard output. Arguments: port, key, secret, app id, master key.
"use strict"

const readline = require("readline")
const PusherClient = require("pusher-js")
const PusherServer = require("pusher")

const [port, key, secret, appId, masterKey] = process.argv.slice(2)
const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n")

const server = new PusherServer({
  appId, key, secret, useTLS: false, host: "127.0.0.1", port, encryptionMasterKeyBase64: masterKey,
})

const clients = {}

function open(name, user) {
  const client = new PusherClient(key, {
    cluster: "", wsHost: "127.0.0.1", wsPort: Number(port), forceTLS: false, enabledTransports: ["ws"],
    disableStats: true, activityTimeout: 120000, pongTimeout: 5000,
    channelAuthorization: {
      customHandler: ({ socketId, channelName }, done) => {
        const presence = channelName.startsWith("presence-") ? { user_id: user, user_info: { name } } : undefined
        done(null, server.authorizeChannel(socketId, channelName, presence))
      },
    },
    userAuthentication: {
      customHandler: ({ socketId }, done) => done(null, server.authenticateUser(socketId, { id: user })),
    },
  })
  clients[name] = client
  client.connection.bind("state_change", ({ current }) => tell({ who: name, state: current }))
  client.connection.bind("error", (error) => tell({ who: name, error: error.data ?? error.error?.data ?? String(error) }))
  client.user.bind_global((event, data) => tell({ who: name, user: true, event, data }))
  client.bind("pusher:signin_success", (data) => tell({ who: name, event: "pusher:signin_success", data }))
}

const actions = {
  open: ({ who, user }) => open(who, user),
  close: ({ who }) => clients[who].disconnect(),
  ping: ({ who }) => clients[who].connection.send_event("pusher:ping", {}),
  signin: ({ who }) => clients[who].signin(),
  unsubscribe: ({ who, channel }) => clients[who].unsubscribe(channel),
  subscribe: ({ who, channel }) => {
    const subscription = clients[who].subscribe(channel)
    subscription.bind_global((event, data) => {
      const members = subscription.members
      tell({ who, channel, event, data: event === "pusher:subscription_succeeded" && members ? members.members : data,
        me: members?.me?.id, count: subscription.subscriptionCount })
    })
  },
  send: ({ who, channel, event, data }) => clients[who].channel(channel).trigger(event, data),
  trigger: ({ channels, event, data, options }) => server.trigger(channels, event, data, options),
  batch: ({ batch }) => server.triggerBatch(batch),
  sendToUser: ({ user, event, data }) => server.sendToUser(user, event, data),
  terminate: ({ user }) => server.terminateUserConnections(user),
  get: ({ path, params }) => server.get({ path, params }),
  webhook: ({ headers, rawBody }) => {
    const webhook = server.webhook({ headers, rawBody })
    return { valid: webhook.isValid(), names: webhook.isValid() ? webhook.getEvents().map((event) => event.name) : [] }
  },
}

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  const command = JSON.parse(line)
  try {
    let result = await actions[command.do](command)
    if (result && typeof result.text === "function") {
      result = { status: result.status, body: await result.text() }
    }
    tell({ id: command.id, result: typeof result === "object" ? result : null })
  } catch (error) {
    tell({ id: command.id, failed: error.status ?? String(error), body: error.body })
  }
}).on("close", () => process.exit(0))
