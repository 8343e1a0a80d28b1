// Clients by socket.io that begin with polling, as browsers do, and upgrade. Argument: a JSON object
// {url, path, clients, messages, cookies}. Each says so many messages while it comes to its upgrade,
// and as many behind that. They keep cookies as browsers do if `cookies`. Prints a JSON
// object of what they saw, when all are through.
'use strict';
const { io } = require('socket.io-client');

const wish = JSON.parse(process.argv[2]);
const SECONDS = 30;

// What one client saw: a failure as text, or the members that answered.
function run(number) {
  return new Promise((resolve) => {
    const socket = io(wish.url, {
      path: wish.path, transports: ['polling', 'websocket'], withCredentials: wish.cookies,
      reconnection: false, forceNew: true,
    });
    const seen = { members: new Set(), first: null, echoes: 0 };
    const end = (failure) => {
      clearTimeout(timer);
      socket.disconnect();
      resolve({ ...seen, members: [...seen.members], failure });
    };
    const timer = setTimeout(() => end('too late'), SECONDS * 1000);
    const say = async (count, phase) => {
      for (let i = 0; i < count; i += 1) {
        const text = `${number} ${phase} ${i}`;
        const answer = await socket.emitWithAck('echo', text);
        if (answer.text !== text) throw new Error(`not an echo: ${JSON.stringify(answer)}`);
        seen.members.add(answer.name);
        seen.echoes += 1;
      }
    };
    const { engine } = socket.io;
    seen.first = engine.transport.name;
    const upgraded = new Promise((done) => { engine.once('upgrade', done); });
    engine.once('upgradeError', (error) => end(`upgradeError: ${error.message}`));
    socket.on('connect_error', (error) => end(`connect_error: ${error.message}`));
    socket.on('connect', async () => {
      socket.once('disconnect', (reason) => end(`disconnect: ${reason}`));
      try {
        await say(wish.messages, 'before');
        await upgraded;
        await say(wish.messages, 'behind');
        socket.off('disconnect');
        end(engine.transport.name === 'websocket' ? null : 'no upgrade');
      } catch (error) {
        end(error.message);
      }
    });
  });
}

Promise.all(Array.from({ length: wish.clients }, (_, i) => run(i))).then((all) => {
  const members = {};
  all.forEach((one) => one.members.forEach((name) => { members[name] = (members[name] || 0) + 1; }));
  console.log(JSON.stringify({
    well: all.filter((one) => !one.failure).length,
    echoes: all.reduce((sum, one) => sum + one.echoes, 0),
    began_by_polling: all.filter((one) => one.first === 'polling').length,
    met_several: all.filter((one) => one.members.length > 1).length,
    members,
    failures: [...new Set(all.map((one) => one.failure).filter(Boolean))].slice(0, 5),
  }));
  process.exit(0);
});
