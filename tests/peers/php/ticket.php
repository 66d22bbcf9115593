<?php

/**
 * Tickets of OroPlatform's back office, from 3.0 on: those of its `/sync/ticket`, and those of its
 * own publishers. As a script, it prints one:
 *
 *     php ticket.php SECRET [USER PASSWORD_HASH [NONCE CREATED]]
 */

declare(strict_types=1);

const ROUNDS = 5000;

/** Returns the digest of a ticket, which authenticates it; `$password` is the stored hash. */
function ticket_digest(string $secret, string $nonce, string $created, string $password): string
{
    $salted = "$nonce|$created|$password" . ($secret === '' ? '' : '{' . $secret . '}');
    $digest = hash('sha512', $salted, true);
    for ($round = 1; $round < ROUNDS; ++$round) {
        $digest = hash('sha512', $digest . $salted, true);
    }
    return base64_encode($digest);
}

/** Returns a ticket; without a user it is anonymous, and the secret replaces the password. */
function ticket(
    string $secret,
    string $user = '',
    string $password = '',
    ?string $nonce = null,
    ?string $created = null
): string {
    $nonce ??= substr(md5(uniqid((string) gethostname(), true)), 0, 16);
    $created ??= date('c');
    $digest = ticket_digest($secret, $nonce, $created, $user === '' ? $secret : $password);
    return base64_encode("$digest;$user;$nonce;$created");
}

if (realpath($argv[0]) === __FILE__) {
    echo ticket(...array_slice($argv, 1)), "\n";
}
