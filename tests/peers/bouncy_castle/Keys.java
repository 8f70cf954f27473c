import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.asn1.x509.SubjectKeyIdentifier;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.openssl.jcajce.JcaPEMKeyConverter;

/** Keys and certificates of a job. */
final class Keys {
    static PrivateKey privateKey(byte[] der) throws Exception {
        return new JcaPEMKeyConverter().setProvider("BC").getPrivateKey(PrivateKeyInfo.getInstance(der));
    }

    static X509Certificate certificate(byte[] der) throws Exception {
        return new JcaX509CertificateConverter()
                .setProvider("BC")
                .getCertificate(new X509CertificateHolder(der));
    }

    static byte[] keyIdentifier(X509CertificateHolder certificate) {
        return SubjectKeyIdentifier.fromExtensions(certificate.getExtensions()).getKeyIdentifier();
    }

    static byte[] keyIdentifier(X509Certificate certificate) throws Exception {
        return keyIdentifier(new X509CertificateHolder(certificate.getEncoded()));
    }
}
