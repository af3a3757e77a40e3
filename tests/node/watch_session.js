// Subscribes to one channel as an official client does, through serve-auth; prints a JSON line for each thing that happens.
// Arguments: one JSON object {key, host, port, url, token, channel, event, until}. Ends after `until` events.
"use strict";

const Pusher = require(require.resolve("pusher-js", { paths: [process.cwd()] }));

const wanted = JSON.parse(process.argv[2]);
const say = (what, data) => process.stdout.write(JSON.stringify({ what, data }) + "\n");
const headers = wanted.token ? { Authorization: `Bearer ${wanted.token}` } : {};

const pusher = new Pusher(wanted.key, {
  cluster: "none",
  wsHost: wanted.host,
  wsPort: wanted.port,
  forceTLS: false,
  enabledTransports: ["ws"],
  disableStats: true,
  channelAuthorization: { endpoint: `${wanted.url}/pusher/auth`, headers, params: wanted.params || {} },
  userAuthentication: { endpoint: `${wanted.url}/pusher/user-auth`, headers },
});
if (wanted.signIn) {
  pusher.bind("pusher:signin_success", (data) => say("signed in", data));
  pusher.signin();
}
const channel = pusher.subscribe(wanted.channel);
let left = wanted.until || 1;
channel.bind("pusher:subscription_succeeded", (data) =>
  say("subscribed", data && data.members ? { members: data.members, me: data.me } : null),
);
channel.bind("pusher:subscription_error", (error) => {
  say("refused", { status: error.status });
  pusher.disconnect();
});
channel.bind(wanted.event, (data) => {
  say("event", data);
  left -= 1;
  if (left === 0) pusher.disconnect();
});
process.stdin.on("end", () => pusher.disconnect()).resume();
