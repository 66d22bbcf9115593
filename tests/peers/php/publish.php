<?php

/**
 * The publishers of PHP back ends, one event a process, as a web request does it: connect with an
 * anonymous ticket, read the answer as they do, write, and disconnect without a Close frame.
 *
 *     php publish.php HOW tcp://HOST:PORT PATH SECRET TOPIC JSON…
 *
 * With PAUSE=SECONDS in the environment it pauses before each event but the first, like a back-end
 * command that works in between.
 *
 * HOW is the publisher: `blind` (the client library of GosWebSocketBundle 0.1, and Oro 3.x) reads
 * nothing but the status line; `buffered` (the library from 1.0 on) takes WELCOME from what one
 * read has brought along with that line; `silence` (Oro 4.2 and later) reads until a millisecond
 * brings nothing. Prints one line of JSON for each step; ends with 1 when it is not let in.
 */

declare(strict_types=1);

require __DIR__ . '/ticket.php';

const PATIENCE = 1;

final class NotConnected extends RuntimeException
{
}

/** The opened connection, and the id of the session where the publisher cares for it. */
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
        // Only the newest send a path alone.
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
        // What has come in the same read, and not a byte that would have to be waited for.
        $buffered = stream_get_meta_data($socket)['unread_bytes'];
        $answer .= $buffered > 0 ? fread($socket, $buffered) : '';
    }
    return [$socket, session($answer)];
}

/** Everything until nothing has come for a millisecond. */
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
 * The id in WELCOME, found as these clients find it: from the first bracket on, as long as the
 * offset of the first closing one. So a bracket in a header spoils it, and so does what follows.
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

/** One masked text frame. */
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
    // Payloads are PHP's arrays by now, so that an empty object has become an empty list.
    $payload = json_decode($json, true, 512, JSON_THROW_ON_ERROR);
    $frame = frame(json_encode([7, $topic, $payload, [], []], JSON_THROW_ON_ERROR));
    report(['wrote' => fwrite($socket, $frame) === strlen($frame)]);
}
// PHP ends the connection when the script ends: no Close frame, and nothing is ever read.
