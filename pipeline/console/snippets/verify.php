<?php

// False unless Loopwire sent this. $body is file_get_contents('php://input'), $server is $_SERVER.
function loopwire_verify(string $secret, array $server, string $body): bool
{
    $id = $server['HTTP_WEBHOOK_ID'] ?? '';
    $sent = $server['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
    if (abs(time() - (int) $sent) > 300) {
        return false; // too old, or from the future
    }
    $key = base64_decode(preg_replace('/^whsec_/', '', $secret));
    $right = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$sent.$body", $key, true));
    foreach (explode(' ', $server['HTTP_WEBHOOK_SIGNATURE'] ?? '') as $one) {
        if (hash_equals($right, $one)) {
            return true;
        }
    }
    return false;
}
