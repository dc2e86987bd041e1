/** Makes the copy of a message that goes to the dead-letter queue. */
import type { SQSRecord } from 'aws-lambda';
import { cutTo } from '../cut.ts';
import { escaped } from './characters.ts';
import { bytesOf, type Entry, messageBytesMax } from './send.ts';

/** The longest reason that leaves room for the whole body is taken. */
const reasonLengths = [1000, 300, 100];
const [reasonLengthMax = 0] = reasonLengths;

/**
 * The copy of a message that goes to its dead-letter queue, with the reason as an attribute. SQS counts attributes to
 * the size of a message: where they do not fit beside a body the reason is shortened first, then the body is cut at its
 * end, and the reason says so.
 */
export function deadLetter(record: SQSRecord, reason: string): Entry {
  const sent = escaped(record.body);
  for (const length of reasonLengths) {
    const whole = letterOf(record, sent, readable(reason, length));
    if (bytesOf(whole) <= messageBytesMax) return whole;
  }
  const bytes = Buffer.from(sent);
  const note = `The body is cut, it had ${bytes.length} bytes. ${reason}`;
  const empty = letterOf(record, '', readable(note, reasonLengthMax));
  const room = bytes.subarray(0, messageBytesMax - bytesOf(empty));
  // Streaming, it leaves out a character of which only the first bytes are there.
  const body = new TextDecoder('utf-8', { ignoreBOM: true }).decode(room, { stream: true });
  return { ...empty, MessageBody: body };
}

function letterOf({ messageId, attributes }: SQSRecord, body: string, reason: string): Entry {
  const text = (StringValue: string) => ({ DataType: 'String', StringValue });
  return {
    MessageBody: body,
    MessageAttributes: {
      reason: text(reason),
      messageId: text(messageId),
      sentAt: text(attributes.SentTimestamp),
    },
  };
}

const readable = (reason: string, lengthMax: number): string =>
  cutTo(escaped(reason), lengthMax) || 'no reason';
