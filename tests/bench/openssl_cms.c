/*
 * What in-process OpenSSL CMS reaches, as the baseline of `python -m tests.bench core`.
 *
 *   openssl_cms protect|open FILE SECONDS CIPHER SIGNER.pem SIGNER.key READER.pem READER.key CAS.pem
 *
 * protect: multipart/signed, then enveloped (authEnveloped with a GCM cipher), written as S/MIME.
 * open:    the way back, signature and path verified, of what protect wrote.
 *
 * Keys and certificates are parsed once and everything stays in memory.  Works for SECONDS, at
 * least three times, and prints messages, seconds of processor time, and seconds.
 */
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
    X509 *signer, *reader;
    EVP_PKEY *signer_key, *reader_key;
    X509_STORE *anchors;
    const EVP_CIPHER *cipher;
} Cast;

static void need(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "openssl_cms: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static double seconds_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static BIO *opened(const char *path)
{
    BIO *file = BIO_new_file(path, "r");
    need(file != NULL, path);
    return file;
}

static X509 *certificate(const char *path)
{
    BIO *file = opened(path);
    X509 *found = PEM_read_bio_X509(file, NULL, NULL, NULL);
    need(found != NULL, path);
    BIO_free(file);
    return found;
}

static EVP_PKEY *private_key(const char *path)
{
    BIO *file = opened(path);
    EVP_PKEY *found = PEM_read_bio_PrivateKey(file, NULL, NULL, NULL);
    need(found != NULL, path);
    BIO_free(file);
    return found;
}

static X509_STORE *authorities(const char *path)
{
    BIO *file = opened(path);
    X509_STORE *store = X509_STORE_new();
    X509 *found;
    while ((found = PEM_read_bio_X509(file, NULL, NULL, NULL)) != NULL) {
        X509_STORE_add_cert(store, found);
        X509_free(found);
    }
    ERR_clear_error();
    BIO_free(file);
    return store;
}

static BIO *protect(const Cast *cast, char *octets, int length)
{
    BIO *content = BIO_new_mem_buf(octets, length), *middle = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());
    unsigned flags = CMS_STREAM | CMS_BINARY | CMS_CRLFEOL;
    CMS_ContentInfo *inner, *outer;
    STACK_OF(X509) *readers = sk_X509_new_null();

    inner = CMS_sign(cast->signer, cast->signer_key, NULL, content, flags | CMS_DETACHED);
    need(inner && SMIME_write_CMS(middle, inner, content, flags | CMS_DETACHED), "sign");
    sk_X509_push(readers, cast->reader);
    outer = CMS_encrypt(readers, middle, cast->cipher, flags);
    need(outer && SMIME_write_CMS(out, outer, middle, flags), "encrypt");
    sk_X509_free(readers);
    CMS_ContentInfo_free(inner);
    CMS_ContentInfo_free(outer);
    BIO_free(content);
    BIO_free(middle);
    return out;
}

static BIO *open_it(const Cast *cast, char *octets, int length)
{
    BIO *message = BIO_new_mem_buf(octets, length), *middle = BIO_new(BIO_s_mem());
    BIO *content = NULL, *out = BIO_new(BIO_s_mem());
    CMS_ContentInfo *outer = SMIME_read_CMS(message, NULL), *inner;

    need(outer && CMS_decrypt(outer, cast->reader_key, cast->reader, NULL, middle, CMS_BINARY),
         "decrypt");
    inner = SMIME_read_CMS(middle, &content);
    need(inner && CMS_verify(inner, NULL, cast->anchors, content, out, CMS_BINARY) == 1, "verify");
    CMS_ContentInfo_free(inner);
    CMS_ContentInfo_free(outer);
    BIO_free(content);
    BIO_free(message);
    BIO_free(middle);
    return out;
}

static char *whole_file(const char *path, int *length)
{
    FILE *file = fopen(path, "rb");
    char *octets;
    need(file != NULL, path);
    fseek(file, 0, SEEK_END);
    *length = (int)ftell(file);
    rewind(file);
    octets = malloc(*length);
    need(octets && fread(octets, 1, *length, file) == (size_t)*length, path);
    fclose(file);
    return octets;
}

int main(int argc, char **argv)
{
    Cast cast;
    char *octets;
    int length, count = 0, opens;
    double began, cpu, limit;

    need(argc == 10, "nine arguments are wanted");
    opens = strcmp(argv[1], "open") == 0;
    limit = atof(argv[3]);
    cast.cipher = EVP_get_cipherbyname(argv[4]);
    need(cast.cipher != NULL, argv[4]);
    cast.signer = certificate(argv[5]);
    cast.signer_key = private_key(argv[6]);
    cast.reader = certificate(argv[7]);
    cast.reader_key = private_key(argv[8]);
    cast.anchors = authorities(argv[9]);
    octets = whole_file(argv[2], &length);
    if (opens)
        length = (int)BIO_get_mem_data(protect(&cast, octets, length), &octets);

    began = seconds_of(CLOCK_MONOTONIC);
    cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    while (count < 3 || seconds_of(CLOCK_MONOTONIC) - began < limit) {
        BIO_free(opens ? open_it(&cast, octets, length) : protect(&cast, octets, length));
        count++;
    }
    printf("%d %.6f %.6f\n", count, seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu,
           seconds_of(CLOCK_MONOTONIC) - began);
    return 0;
}
