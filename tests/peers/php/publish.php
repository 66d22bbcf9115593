<?php

/**
 * Publishers of PHP back ends, run like a web request: connect with an anonymous ticket, read the
 * answer like the original, write the events, and disconnect without a Close frame.
 *
 *     php publish.php HOW tcp://HOST:PORT PATH SECRET TOPIC JSON…
 *
 * With PAUSE=SECONDS in the environment, it pauses before each event except the first, like a
 * back-end command that works in between.
 *
 * HOW is the publisher: `blind` (the client library of GosWebSocketBundle 0.1, and Oro 3.x) reads
 * only the status line; `buffered` (the library from 1.0 on) takes WELCOME from the bytes of the
 * same read; `silence` (Oro 4.2 and later) reads until a millisecond passes without bytes. Prints
 * one line of JSON for each step; exits with 1 if it is refused.
 */

declare(strict_types=1);

require __DIR__ . '/ticket.php';

const PATIENCE = 1;

final class NotConnected extends RuntimeException
{
}

/** Connects. Returns the socket, and the session id if the publisher reads it. */
function connect(string $how, string $address, string $path, string $secret): array
{
    $socket = @stream_socket_client($address, $code, $message, PATIENCE, STREAM_CLIENT_CONNECT, stream_context_create([
        'ssl' => ['verify_peer' => false, 'verify_peer_name' => false],
    ]));
    if ($socket === false) {
        throw new NotConnected("no connection: $message");
    }
    stream_set_timeout($socket, PATIENCE);
    $host = preg_replace('#^\w+://#', '', $address);
    $target = $path . '?ticket=' . urlencode(ticket($secret));
    $scheme = str_starts_with($address, 'ssl:') ? 'wss' : 'ws';
    fwrite($socket, implode("\r\n", [
        // Only the newest publisher sends the path without scheme and host.
        'GET ' . ($how === 'silence' ? $target : "$scheme://$host$target") . ' HTTP/1.1',
        "Host: $host",
        'Pragma: no-cache',
        'Cache-Control: no-cache',
        'Upgrade: WebSocket',
        'Connection: Upgrade',
        'Sec-WebSocket-Key: ' . base64_encode(random_bytes(16)),
        'Sec-WebSocket-Protocol: wamp',
        'Sec-WebSocket-Version: 13',
        'Origin: 127.0.0.1',
        '',
        '',
    ]));
    $answer = $how === 'silence' ? until_silence($socket) : (string) fgets($socket);
    if (!str_starts_with($answer, 'HTTP/1.1 101')) {
        throw new NotConnected(strtok($answer, "\r\n") ?: 'no answer');
    }
    if ($how === 'blind') {
        return [$socket, null];
    }
    if ($how === 'buffered') {
        // Only the bytes of the same read, without waiting for more.
        $buffered = stream_get_meta_data($socket)['unread_bytes'];
        $answer .= $buffered > 0 ? fread($socket, $buffered) : '';
    }
    return [$socket, session($answer)];
}

/** Reads until no bytes have arrived for a millisecond. */
function until_silence($socket): string
{
    $answer = (string) fread($socket, 8192);
    stream_set_timeout($socket, 0, 1000);
    while (($more = (string) fread($socket, 8192)) !== '') {
        $answer .= $more;
    }
    return $answer;
}

/**
 * Extracts the id of WELCOME like these clients: the text from the first bracket on, with the offset
 * of the first closing bracket as its length. A bracket in a header spoils it, and so do later bytes.
 */
function session(string $answer): string
{
    $start = strpos($answer, '[');
    $length = strpos($answer, ']');
    $text = $start === false || $length === false ? '' : substr($answer, $start, $length);
    $welcome = json_decode($text, true);
    if (!is_array($welcome) || ($welcome[0] ?? null) !== 0 || !is_string($welcome[1] ?? null)) {
        throw new NotConnected('no WELCOME in what was read: ' . json_encode($answer, JSON_INVALID_UTF8_SUBSTITUTE));
    }
    return $welcome[1];
}

/** Returns one masked text frame. */
function frame(string $text): string
{
    $length = strlen($text);
    $mask = random_bytes(4);
    $head = match (true) {
        $length < 126 => pack('CC', 0x81, 0x80 | $length),
        $length < 65536 => pack('CCn', 0x81, 0x80 | 126, $length),
        default => pack('CCJ', 0x81, 0x80 | 127, $length),
    };
    return $head . $mask . ($text ^ str_pad('', $length, $mask));
}

/** Prints a step. */
function report(array $step): void
{
    echo json_encode($step, JSON_UNESCAPED_SLASHES), "\n";
}

[, $how, $address, $path, $secret, $topic] = $argv;
if (!in_array($how, ['blind', 'buffered', 'silence'], true)) {
    exit("unknown publisher: $how\n");
}
try {
    [$socket, $session] = connect($how, $address, $path, $secret);
} catch (NotConnected $why) {
    report(['refused' => $why->getMessage()]);
    exit(1);
}
report(['session' => $session]);
foreach (array_slice($argv, 6) as $number => $json) {
    usleep($number === 0 ? 0 : (int) (1_000_000 * (float) getenv('PAUSE')));
    // Payloads are decoded into PHP's arrays, so that an empty object becomes an empty list.
    $payload = json_decode($json, true, 512, JSON_THROW_ON_ERROR);
    $frame = frame(json_encode([7, $topic, $payload, [], []], JSON_THROW_ON_ERROR));
    report(['wrote' => fwrite($socket, $frame) === strlen($frame)]);
}
// PHP ends the connection with the script: no Close frame, and no further reads.
