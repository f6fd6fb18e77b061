// The session's socket: previews come in, slides go out; it opens again by itself when it drops.

import { url } from "./api.js";

const GONE = 4404; // the server has no such session any more
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;

/** One session's events. `handlers`: preview(bitmap, header), state, job, error, and open, close, gone without one. */
export class Socket {
  constructor(session, handlers) {
    this.handlers = handlers;
    this.address = url(`/api/sessions/${session}/events`).replace(/^http/, "ws");
    this.wait = FIRST_WAIT_MS;
    this.header = null; // of the binary message that comes next
    this.connect();
  }

  connect() {
    this.socket = new WebSocket(this.address);
    this.socket.binaryType = "blob";
    this.socket.onopen = () => {
      this.wait = FIRST_WAIT_MS;
      this.handlers.open();
    };
    this.socket.onmessage = ({ data }) => this.receive(data);
    this.socket.onclose = ({ code }) => {
      if (this.closed) return;
      if (code === GONE) return this.handlers.gone();
      this.handlers.close();
      this.timer = setTimeout(() => this.connect(), this.wait);
      this.wait = Math.min(LONGEST_WAIT_MS, this.wait * 2);
    };
  }

  async receive(data) {
    if (typeof data === "string") {
      const message = JSON.parse(data);
      if (message.type === "preview") this.header = message;
      else this.handlers[message.type]?.(message);
      return;
    }
    const header = this.header ?? {};
    this.header = null;
    this.handlers.preview(await createImageBitmap(data), header);
  }

  /** Send a message; false when the socket is not open. */
  send(message) {
    if (this.socket.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.socket.close();
  }
}
